"""The tables in which results are read: `results` (wide, a row for each checkpoint) and `long` (tidy)."""

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.geometry.chain import Verdict, chain_verdict, stored_verdict
from scalecurv.quantities import CHAIN, Quantity
from scalecurv.results.vocabulary import PARTS_OF_ESTIMATE, columns_of
from scalecurv.store.frames import plain
from scalecurv.store.schema import ANALYSED

LABELS = ("checkpoint", "run", "step")  # the attributes of the run come after them
FACTS = ("epoch", "num_params", *ANALYSED, "status", "chain_status", "error", "total_matvecs")
_ROW = ("measure", "method", "num_samples", "num_matvecs", *ANALYSED)
LONG = (*LABELS, "quantity", "component", *PARTS_OF_ESTIMATE.values(), "confidence", "status", *_ROW)


def wide(
    checkpoints: pd.DataFrame, chosen: pd.DataFrame, quantities: tuple[Quantity, ...], attributes: pd.DataFrame
) -> pd.DataFrame:
    """Return one row for each checkpoint, with four columns for each quantity, ordered by run and step.

    `chosen` are the estimates to show. A checkpoint is `partial` where one of them failed.
    """
    chosen = chosen[chosen["component"] == ""]
    failed = chosen["status"] == "failed"
    broken = pd.MultiIndex.from_frame(plain(chosen.loc[failed, ANALYSED]))
    mixed = pd.MultiIndex.from_frame(checkpoints[ANALYSED]).isin(broken) & (checkpoints["status"] != "failed")
    rows = checkpoints.assign(status=checkpoints["status"].mask(mixed, "partial"))
    rows["num_params"] = rows["num_params"].astype("Int64").mask(rows["status"] == "failed")
    joined = rows.merge(_numbers(chosen[~failed], quantities), how="left", on=ANALYSED)
    labelled = _labelled(joined, attributes)
    names = [name for quantity in quantities for name in columns_of(quantity)]
    return labelled[[*LABELS, *attributes, *FACTS, *names]]


def long(checkpoints: pd.DataFrame, chosen: pd.DataFrame, attributes: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each checkpoint, quantity and component, ordered by run and step."""
    labels = checkpoints[["path", "run", "step", *ANALYSED]]
    joined = plain(chosen).merge(labels, how="inner", on=ANALYSED)
    labelled = _labelled(joined, attributes)
    return labelled[[*LABELS, *attributes, *LONG[len(LABELS) :]]]


def _labelled(rows: pd.DataFrame, attributes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order of training, with the attributes of their runs."""
    ordered = rows.rename(columns={"path": "checkpoint"})
    ordered = ordered.sort_values(["run", "step", "checkpoint"], kind="stable", ignore_index=True)
    of_runs = attributes.reindex(ordered["run"]).reset_index(drop=True)
    return pd.concat([ordered, of_runs], axis="columns")


def _numbers(chosen: pd.DataFrame, quantities: tuple[Quantity, ...]) -> pd.DataFrame:
    """Return a row for each analysed content: four columns a quantity, and the verdict on the chain of bounds."""
    grouped = chosen.groupby(ANALYSED, observed=True)
    identities = grouped.size().index
    names = chosen["quantity"].cat.remove_unused_categories()  # all text columns share their categories
    rows, columns = grouped.ngroup().to_numpy(), names.cat.codes.to_numpy()
    known = {name: i for i, name in enumerate(names.cat.categories)}
    found: dict[str, Any] = {}
    for suffix, part in PARTS_OF_ESTIMATE.items():
        grid = np.full((len(identities), len(known)), np.nan)
        grid[rows, columns] = chosen[part].to_numpy()
        for quantity in quantities:
            numbers = grid[:, known[quantity.name]] if quantity.name in known else np.full(len(grid), np.nan)
            if quantity.integer and suffix != "_stderr":  # null where an end of an interval is infinite
                numbers = pd.Series(np.where(np.isfinite(numbers), numbers, np.nan)).astype("Int64")
            found[quantity.name + suffix] = numbers
    frame = pd.DataFrame(found).assign(chain_status=_chains(chosen, rows))
    return pd.concat([plain(identities.to_frame(index=False)), frame], axis="columns")


def _chains(chosen: pd.DataFrame, rows: np.ndarray) -> pd.Series:
    """Return the chain's verdict by row of the wide table, `rows` being that of each estimate; none without links."""
    is_link = chosen["quantity"].isin(CHAIN).to_numpy()
    verdict = cache(stored_verdict)  # a few methods, in many rows
    links: dict[int, list[Verdict]] = defaultdict(list)
    for row, method in zip(rows[is_link].tolist(), chosen["method"][is_link], strict=True):
        links[row].append(verdict(method))
    return pd.Series({row: str(chain_verdict(verdicts)) for row, verdicts in links.items()}, dtype="string")
