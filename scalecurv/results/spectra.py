"""The choice of the Gauss rules of a checkpoint among all that a store holds."""

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.results.density import EVERY, SpectralRule
from scalecurv.store.schema import SHARPNESS

PARTS = ("ritz_nodes", "ritz_weights", "ritz_starts")


def spectral_rule(
    arrays: pd.DataFrame,
    fingerprint: str,
    seed: int | None = None,
    task_id: str | None = None,
    dtype: str | None = None,
) -> SpectralRule:
    """Return the rule of one checkpoint from the table `arrays`, of one seed or merged over all of them.

    For each seed the choice falls on the measure's latest version, then on all eigenvalues rather than an estimate,
    the most products, and the newest. Raises Misuse where there is none, and where several tasks or dtypes have one
    and neither `task_id` nor `dtype` chooses.
    """
    rows = arrays[(arrays["measure"] == "spectrum") & (arrays["fingerprint"] == fingerprint)]
    for column, wanted in {"task_id": task_id, "dtype": dtype, "seed": seed}.items():
        there = sorted(rows[column].unique().tolist())
        rows = rows[rows[column] == wanted] if wanted is not None else rows
        if rows.empty and there:
            raise Misuse(f"no spectrum of {fingerprint} with {column}={wanted!r}; there are {there}")
    if rows.empty:
        raise Misuse(
            f"no spectrum of a checkpoint {fingerprint!r}; run `scalecurv analyze CHECKPOINTS STORE --measure spectrum`"
        )
    several = sorted(set(zip(rows["task_id"], rows["dtype"], strict=True)))
    if len(several) > 1:
        raise Misuse(
            f"{fingerprint} has spectra of several (task_id, dtype): {several}; choose with task_id= or dtype="
        )
    rows = rows.assign(rule=rows.groupby(["key", *SHARPNESS], observed=True).ngroup())
    nodes = rows[rows["name"] == PARTS[0]]
    starts = rows[rows["name"] == PARTS[2]]
    whole = set(starts["rule"][[bool((np.asarray(values) == EVERY).all()) for values in starts["values"]]])
    order = nodes.assign(whole=nodes["rule"].isin(whole), products=nodes["values"].map(len))
    order = order.sort_values(["version", "whole", "products", "created"])
    rules = order.drop_duplicates("seed", keep="last").sort_values("seed")["rule"]
    first, *others = (_rule_of(rows[rows["rule"] == rule]) for rule in rules)
    return first.merge(*others)


def _rule_of(rows: pd.DataFrame) -> SpectralRule:
    nodes, weights, starts = (rows.loc[rows["name"] == part, "values"].iloc[0] for part in PARTS)
    return SpectralRule(np.asarray(nodes), np.asarray(weights), np.asarray(starts).astype(np.int64))
