"""The choice of the Gauss rules of a checkpoint among all that a store holds, and the facts stored beside them."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.results.density import EVERY, SpectralRule
from scalecurv.store.frames import Tables
from scalecurv.store.schema import SHARPNESS

PARTS = ("ritz_nodes", "ritz_weights", "ritz_starts")
TIME = ["key", *SHARPNESS]  # one time that a measure was computed
SURE = 0.99  # confidence from which a stored lambda_min bounds the spectrum; one from a sample of the data has less


@dataclass(frozen=True)
class SpectralFacts:
    """The order of H, and the stored lower bound on its eigenvalues, which is wrong with probability `chance`.

    `smallest` is None where no `lambda_min` of enough confidence is stored.
    """

    num_params: int
    smallest: float | None
    chance: float


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
    return _merged(_rows(arrays, fingerprint, seed, task_id, dtype))


def spectral_facts(
    tables: Tables,
    fingerprint: str,
    seed: int | None = None,
    task_id: str | None = None,
    dtype: str | None = None,
) -> tuple[SpectralRule, SpectralFacts]:
    """Return the rule of one checkpoint and what is stored beside it; raises as `spectral_rule` does."""
    rows = _rows(tables["arrays"], fingerprint, seed, task_id, dtype)
    same = {name: rows[name].iloc[0] for name in ("fingerprint", "task_id", "dtype")}
    checkpoints, ends = (
        table[np.logical_and.reduce([table[name] == value for name, value in same.items()])]
        for table in (tables["checkpoints"], tables["estimates"])
    )
    ends = ends[(ends["quantity"] == "lambda_min") & (ends["lower"] > -math.inf) & (ends["confidence"] >= SURE)]
    ends = ends.sort_values(["version", "num_matvecs", "created"])[-1:]  # not the tightest, which may be so by chance
    lower, confidence = ends[["lower", "confidence"]].iloc[0] if len(ends) else (None, 1.0)
    return _merged(rows), SpectralFacts(int(checkpoints["num_params"].iloc[0]), lower, 1 - confidence)


def _rows(
    arrays: pd.DataFrame, fingerprint: str, seed: int | None, task_id: str | None, dtype: str | None
) -> pd.DataFrame:
    """Return the rows of the rules that fit, all of one task and one dtype."""
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
    return rows


def _merged(rows: pd.DataFrame) -> SpectralRule:
    """Return one rule of the best of each seed."""
    best = best_runs(rows, PARTS[0]).drop_duplicates("seed", keep="last").sort_values("seed")
    times = rows.groupby(TIME, observed=True)
    first, *others = (_rule_of(times.get_group(tuple(one))) for one in best[TIME].itertuples(index=False))
    return first.merge(*others)


def best_runs(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of the array `name`, one for each time that its measure was computed, the best last.

    `rows` are those of all arrays of one measure at one content. All eigenvalues come after any estimate of a version.
    """
    times = pd.MultiIndex.from_frame(rows[TIME])
    starts = (rows["name"] == PARTS[2]).to_numpy()
    exact = [bool((np.asarray(values) == EVERY).all()) for values in rows["values"][starts]]
    whole = times.isin(times[starts][np.array(exact, dtype=bool)])
    order = rows.assign(whole=whole, products=rows["values"].map(len))[(rows["name"] == name).to_numpy()]
    return order.sort_values(["version", "whole", "products", "created"], kind="stable")


def _rule_of(rows: pd.DataFrame) -> SpectralRule:
    nodes, weights, starts = (rows.loc[rows["name"] == part, "values"].iloc[0] for part in PARTS)
    return SpectralRule(np.asarray(nodes), np.asarray(weights), np.asarray(starts).astype(np.int64))
