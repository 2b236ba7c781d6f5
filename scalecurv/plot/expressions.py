"""Numbers to draw: a quantity by its name, or a SQL expression over `results`, with an interval in each row."""

import difflib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.plot.labels import formula, inline, symbol, title
from scalecurv.plot.ranges import columns_of_tree, range_of
from scalecurv.plot.selection import Selection, attributes_in, place, quantities_in
from scalecurv.plot.sql import evaluated, parsed, text_of
from scalecurv.quantities import BESIDE, QUANTITIES

_MEASURES = {quantity.name: quantity.measure for quantity in QUANTITIES}
LARGEST = 1e290  # of what is drawn
_WORST = ("failed", "inconsistent", "budget", "lower_bound", "converged", "certified", "exact")  # first is shown


@dataclass(frozen=True)
class Numbers:
    """A value in each row, its interval, and the status of the least sure number that it is made of.

    `lower` and `upper` are NaN where a row has no interval, and infinite where it is open. `name` is the quantity, or
    "" for an expression. `axis` and `title` are the words of its panel. `note` says why there is no interval.
    `confidences` are the levels of the intervals that it is made of, as far as they are known.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    status: np.ndarray
    name: str
    axis: str
    title: str
    note: str = ""
    confidences: frozenset[float] = frozenset()


def numbers(selection: Selection, expression: str) -> Numbers:
    """Return a quantity, a numeric column, or the values of a SQL expression over `results`, with intervals.

    The interval of an expression is its range while each quantity in it moves through its own interval; it holds the
    truth where all of those do. It is exact where each quantity occurs once, and never too short, but a little too
    wide, where one occurs several times. Functions other than arithmetic, abs, powers, roots, logarithms, exp and the
    like have none. Raises Misuse for an unknown name, and for an expression that does not run or has no numbers.
    """
    rows = selection.rows
    if expression.isidentifier() or expression in rows:  # an attribute may be called weight-decay
        name = column_of(selection, expression)
        value, lower, upper = ends(rows, name)
        if not np.isfinite(value).any():
            raise Misuse(_absent(selection, name))
        status, levels = selection.statuses(name).to_numpy(), selection.confidences(name)
        return Numbers(value, lower, upper, status, name, symbol(name), title(name), confidences=levels)
    tree, alias = parsed(expression)
    if alias:
        expression = text_of(tree)
    used = {name: column_of(selection, name) for name in columns_of_tree(tree)}
    value = _floats(evaluated(rows, expression), expression)
    sampled = {name: ends(rows, column)[1:] for name, column in used.items()}
    sampled = {name: pair for name, pair in sampled.items() if not np.isnan(pair[0]).all()}
    found = range_of(tree, rows, sampled) if sampled else (np.full(len(rows), np.nan),) * 2
    note = "" if found is not None else f"no interval for {expression}: a function in it has no known range"
    lower, upper = found if found is not None else (np.full(len(rows), np.nan),) * 2
    lower, upper = np.where(np.isnan(value), np.nan, lower), np.where(np.isnan(value), np.nan, upper)
    if not np.isfinite(value).any():
        absent = [column for column in used.values() if not np.isfinite(ends(rows, column)[0]).any()]
        raise Misuse(_absent(selection, absent[0]) if absent else f"{expression!r} has no finite value in any row")
    lower, upper = np.minimum(lower, value), np.maximum(upper, value)  # rounding may part them
    words = formula(alias) if alias else inline(expression)
    status = _worst([selection.statuses(name) for name in used.values()], len(rows))
    levels = frozenset().union(*(selection.confidences(column) for column in used.values()))
    return Numbers(value, lower, upper, status, "", words, "", note, levels)


def ends(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return value, lower and upper end of a column; an end that is null beside a value is infinite.

    So is one whose column is not there while the other end's is: `Store.results` leaves columns out that are null
    everywhere. A column without both ends, such as an attribute, has NaN for both.
    """
    value = _floats(rows[name], name)
    none = np.full(len(rows), np.nan)
    columns = [f"{name}_{end}" for end in ("lower", "upper")]
    if not any(column in rows for column in columns):
        return value, none, none
    lower, upper = (_floats(rows[column], name) if column in rows else none for column in columns)
    there = ~np.isnan(value)
    lower = np.where(there & np.isnan(lower), -np.inf, np.where(there, lower, np.nan))
    return value, lower, np.where(there & np.isnan(upper), np.inf, np.where(there, upper, np.nan))


def _floats(column: pd.Series, name: str) -> np.ndarray:
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        there = column.dropna()
        if len(there) and not there.map(lambda one: hasattr(one, "__float__") and not isinstance(one, bool)).all():
            raise Misuse(f"{name!r} holds {str(there.iloc[0])!r}, no number; draw a quantity or an expression")
    return drawable(pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan))


def drawable(values: np.ndarray) -> np.ndarray:
    """Return numbers that axes can hold: those beyond 1e290 are infinite, and those below 1e-290 are 0.

    Lengths of axes and their ticks overflow near the largest float.
    """
    sizes = np.abs(values)
    return np.where(sizes > LARGEST, np.copysign(np.inf, values), np.where(sizes < 1 / LARGEST, 0.0, values))


def column_of(selection: Selection, name: str) -> str:
    """Return the column that SQL means by a name, whatever its case; raises Misuse that lists near names."""
    columns = {str(column).lower(): str(column) for column in selection.rows}
    if name.lower() in columns:
        return columns[name.lower()]
    if name in _MEASURES:
        raise Misuse(_absent(selection, name))
    there = [quantity for quantity in quantities_in(selection.rows) if selection.rows[quantity].notna().any()]
    attributes = attributes_in(selection.rows)
    near = difflib.get_close_matches(name.lower(), [*there, *attributes, "step", "epoch"], 4, 0.6)
    advice = f"near it are {', '.join(near)}" if near else f"quantities are {', '.join(there)}"
    if attributes and not near:
        advice += f"; attributes are {', '.join(attributes)}"
    elif not attributes and hasattr(selection.source, "path"):
        advice += "; `scalecurv analyze` again with --run-attr 'lr=lr([0-9.]+)' takes attributes from the paths of runs"
    raise Misuse(f"{place(selection.source)} has no quantity or attribute {name!r}; {advice}")


def _absent(selection: Selection, name: str) -> str:
    whole = f"{place(selection.source)} holds no value of {name} for a whole model"
    base = next((name.removesuffix(ending) for ending in BESIDE if name.endswith(ending)), name)
    measure = _MEASURES.get(name) or _MEASURES.get(base)
    if not measure:
        return whole
    return f"{whole}; `scalecurv analyze CHECKPOINTS STORE --measure {measure}` computes it where it applies"


def _worst(statuses: list[pd.Series], count: int) -> np.ndarray:
    """Return, for each of `count` rows, the status of the least sure of several numbers."""
    found = np.full(count, "", dtype=object)
    for status in reversed(_WORST):
        for column in statuses:
            found[(column == status).to_numpy()] = status
    return found
