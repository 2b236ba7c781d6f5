"""The range of a SQL expression over the intervals of its quantities, from DuckDB's syntax tree of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.plot import intervals
from scalecurv.plot.intervals import Interval
from scalecurv.plot.sql import evaluated, text_of

MOST_PIECES, MOST_NUMBERS = 64, 2_000_000  # of one quantity, and of one array


def columns_of_tree(tree: Any) -> list[str]:
    """Return the columns that a syntax tree names, each as often as it is named."""
    if isinstance(tree, list):
        return [name for part in tree for name in columns_of_tree(part)]
    if not isinstance(tree, dict):
        return []
    if tree.get("class") == "COLUMN_REF":
        return [tree["column_names"][-1]]
    return [name for part in tree.values() for name in columns_of_tree(part)]


def range_of(tree: Any, rows: pd.DataFrame, sampled: Mapping[str, Interval]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both ends of the range of an expression in each row, None where a function in it has no known range.

    `sampled` has the interval of each quantity, by its name in the tree. The interval of a quantity that occurs
    several times is cut into pieces, and the ranges over all of them are united: the more pieces, the less the result
    is too wide. It is never too short, but for rounding.
    """
    counts = Counter(name for name in columns_of_tree(tree) if name in sampled)
    repeated = [name for name, count in counts.items() if count > 1]
    shape = (len(rows), *(1 for _ in repeated))
    boxes = {name: (low.reshape(shape), high.reshape(shape)) for name, (low, high) in sampled.items()}
    share = (MOST_NUMBERS / max(len(rows), 1)) ** (1 / max(len(repeated), 1))
    count = max(1, min(MOST_PIECES, int(share)))
    for axis, name in enumerate(repeated, 1):
        cut = intervals.pieces(sampled[name], count)
        along = (len(rows), *(count if i == axis else 1 for i in range(1, len(repeated) + 1)))
        boxes[name] = cut[0].reshape(along), cut[1].reshape(along)
    with np.errstate(all="ignore"):  # infinite ends, and NaN where a number is missing, are meant
        found = _Walk(rows, boxes, shape).range(tree)
    if found is None:
        return None
    axes = tuple(range(1, len(shape)))
    lower, upper = (np.broadcast_to(end, np.broadcast_shapes(end.shape, shape)) for end in found)
    with np.errstate(all="ignore"):
        missing = np.isnan(lower).all(axis=axes), np.isnan(upper).all(axis=axes)
        low = np.where(np.isnan(lower), np.inf, lower).min(axis=axes)
        high = np.where(np.isnan(upper), -np.inf, upper).max(axis=axes)
    return np.where(missing[0], np.nan, low), np.where(missing[1], np.nan, high)


class _Walk:
    """One way through a syntax tree, from its leaves up."""

    def __init__(self, rows: pd.DataFrame, boxes: Mapping[str, Interval], shape: tuple[int, ...]):
        self.rows, self.boxes, self.shape = rows, boxes, shape

    def range(self, node: Any) -> Interval | None:
        names = columns_of_tree(node)
        if not any(name in self.boxes for name in names):
            exact = self._exact(node)
            return None if exact is None else (exact, exact)
        if node["class"] == "COLUMN_REF":
            return self.boxes[names[0]]
        if node["class"] == "CAST":
            return self.range(node["child"]) if _type_of(node).upper() in ("DOUBLE", "FLOAT") else None
        if node["class"] != "FUNCTION":
            return None
        parts = [self.range(part) for part in _operands(node)]
        if any(part is None for part in parts):
            return None
        return self._applied(node["function_name"].lower(), [part for part in parts if part is not None])

    def _applied(self, name: str, parts: list[Interval]) -> Interval | None:
        match name, parts:
            case "+", [x, y]:
                return intervals.added(x, y)
            case "-", [x, y]:
                return intervals.added(x, intervals.negated(y))
            case "+", [x]:
                return x
            case "-", [x]:
                return intervals.negated(x)
            case "*", [x, y]:
                return intervals.multiplied(x, y)
            case "/", [x, y]:
                return intervals.multiplied(x, intervals.inverted(y))
            case (("**" | "^" | "pow" | "power"), [x, y]):
                powers = np.unique(y[0][~np.isnan(y[0])])
                return intervals.raised(x, float(powers[0])) if y[0] is y[1] and len(powers) == 1 else None
            case (("abs" | "@"), [x]):
                return intervals.absolute(x)
            case "greatest", _:
                return intervals.largest(parts)
            case "least", _:
                return intervals.negated(intervals.largest([intervals.negated(part) for part in parts]))
            case _, [x]:
                return intervals.increasing(name, x)
        return None

    def _exact(self, node: Any) -> np.ndarray | None:
        """Return the value of a part without quantities that have intervals; None where it is no number."""
        values = evaluated(self.rows, text_of(node))
        if not pd.api.types.is_numeric_dtype(values) and values.map(lambda one: not hasattr(one, "__float__")).any():
            return None
        return pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan).reshape(self.shape)


def _type_of(node: Any) -> str:
    """Return the type of a cast, under the names that releases of DuckDB give it."""
    return str(node["type_expr"]["type_name"] if "type_expr" in node else node["cast_type"]["id"])


def _operands(node: Any) -> Iterator[Any]:
    """Yield the operands of a function, under the names that releases of DuckDB give them."""
    for part in node.get("arguments", node.get("children", ())):
        yield part.get("expression", part)
    if node.get("filter") or node.get("distinct"):
        raise Misuse("a filter and DISTINCT belong to aggregates; an expression of a picture has a value in each row")
