"""The Gauss rules of the spectral density that a store holds of one checkpoint."""

import numpy as np
import pandas as pd

from scalecurv.density import EVERY, SpectralRule
from scalecurv.errors import Misuse

PARTS = ("ritz_nodes", "ritz_weights", "ritz_starts")


def spectral_rule(
    arrays: pd.DataFrame,
    fingerprint: str,
    seed: int | None = None,
    task_id: str | None = None,
    dtype: str | None = None,
) -> SpectralRule:
    """The rule of one checkpoint from the table `arrays`, of one seed or merged over all of them.

    Of each seed that of the measure's latest version, all eigenvalues before any estimate, from the most products, and
    then the newest. Raises Misuse where there is none, and where several tasks or dtypes have one and the choice
    between them is not made.
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
    nodes = rows[rows["name"] == PARTS[0]]
    starts = rows[rows["name"] == PARTS[2]]
    whole = set(starts["key"][[bool((np.asarray(values) == EVERY).all()) for values in starts["values"]]])
    order = nodes.assign(whole=nodes["key"].isin(whole), products=nodes["values"].map(len))
    order = order.sort_values(["version", "whole", "products", "created"])
    keys = order.drop_duplicates("seed", keep="last").sort_values("seed")["key"]
    first, *others = (_rule_of(rows[rows["key"] == key]) for key in keys)
    return first.merge(*others)


def _rule_of(rows: pd.DataFrame) -> SpectralRule:
    nodes, weights, starts = (rows.loc[rows["name"] == part, "values"].iloc[0] for part in PARTS)
    return SpectralRule(np.asarray(nodes), np.asarray(weights), np.asarray(starts).astype(np.int64))
