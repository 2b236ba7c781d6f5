"""Attributes of runs that tell lines apart, such as lr and the seed: their values, in order."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.plot.expressions import column_of
from scalecurv.plot.ranges import columns_of_tree
from scalecurv.plot.selection import ANALYSED, Selection, attributes_in, run_names
from scalecurv.plot.sql import evaluated, parsed
from scalecurv.plot.style import DASHES

_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
LINE = "runs as analysed"  # a name for each line, where no attribute tells all apart; no column has this name


def attribute(selection: Selection, name: str) -> pd.Series:
    """Return the value of an attribute, of a column, or of a SQL expression in each row; runs by their short names.

    Raises Misuse for a name that is not there, with those near it, and for an expression that does not run.
    """
    rows = selection.rows
    if name == LINE:
        return _line_names(rows)
    if not name.isidentifier() and name not in rows:  # one may be called weight-decay
        for column in columns_of_tree(parsed(name)[0]):
            column_of(selection, column)
        return evaluated(rows, name)
    column = column_of(selection, name)
    return rows[column].map(run_names(rows[column].unique())) if column == "run" else rows[column]


def in_order(values: pd.Series) -> list[Any]:
    """Return the distinct values: numbers by size, texts with the numbers in them by size, and a missing one last."""
    distinct = list(dict.fromkeys(None if pd.isna(value) else value for value in values.to_list()))
    there = [value for value in distinct if value is not None]
    numeric = all(isinstance(value, int | float | np.number) for value in there)
    there = sorted(there) if numeric else sorted(there, key=natural)
    return there + ([None] if None in distinct else [])


def same(values: pd.Series, one: Any) -> np.ndarray:
    """Return where a value is `one`; None is a missing value."""
    return np.asarray(values.isna() if one is None else values == one, dtype=bool)


def natural(value: Any) -> tuple[Any, ...]:
    """Return what texts are sorted by so that lr0.05 comes before lr0.1, and step2 before step10."""
    parts = _NUMBER.split(str(value))
    return tuple((float(part), "") if i % 2 else (-1.0, part) for i, part in enumerate(parts))


def is_numeric(values: pd.Series) -> bool:
    """Return True where the values are numbers that have an order: no truth values and no texts."""
    there = values.dropna()
    return bool(len(there)) and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in there.to_list()
    )


def telling_apart(selection: Selection, lines: np.ndarray, by: str | None = None) -> tuple[str | None, str | None]:
    """Return the attribute to colour lines by, and one for their dashes, such that no two lines look the same.

    `lines` numbers the line of each row. The first attribute that differs between all lines is taken, then the first
    two that do so together; the dashes show the seed, or the one of fewer values. Lines in panels of their own, by the
    attribute `by`, are told apart already. Else each line has its own name.
    """
    rows = selection.rows
    count = len(np.unique(lines))
    if count == 1:
        return None, None
    candidates: dict[str, pd.Series] = {}
    for name in [*attributes_in(rows), *(key for key in ANALYSED if key in rows)]:
        values = rows[name].astype(object).where(rows[name].notna(), None)
        per_line = pd.DataFrame({"line": lines, "value": values}).drop_duplicates()
        if len(per_line) == count and per_line["value"].nunique(dropna=False) > 1:
            candidates[name] = per_line.set_index("line")["value"].map(repr)
    faceted = {by: candidates.pop(by)} if by is not None and by in candidates else {}
    if _distinct(faceted) == count:
        return None, None
    for name, values in candidates.items():
        if _distinct({**faceted, name: values}) == count:
            return name, None
    for first, second in itertools.combinations(candidates, 2):
        pair = {first: candidates[first], second: candidates[second]}
        if _distinct({**faceted, **pair}) == count:
            dashes = min(pair, key=lambda name: ("seed" not in name, pair[name].nunique()))
            if pair[dashes].nunique() <= len(DASHES):
                return (second if dashes == first else first), dashes
    plain_runs = "run" in rows and rows["run"].nunique() == count
    return ("run" if plain_runs else LINE), None


def _distinct(columns: Mapping[str, pd.Series]) -> int:
    """Return the number of different rows of some columns."""
    return len(pd.DataFrame(dict(columns)).drop_duplicates()) if columns else 0


def _line_names(rows: pd.DataFrame) -> pd.Series:
    """Return the name of each row's line: its run, and what else tells lines apart."""
    apart = [name for name in ANALYSED if name in rows and rows[name].nunique(dropna=False) > 1]
    names = rows["run"].map(run_names(rows["run"].unique())) if "run" in rows else pd.Series("", index=rows.index)
    if "run" not in rows:
        apart = [*attributes_in(rows), *apart]
    for name in apart:
        names = names + ", " + name + " " + rows[name].map(str)
    return names.str.removeprefix(", ")
