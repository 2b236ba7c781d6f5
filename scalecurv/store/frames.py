"""Tables in memory: pandas frames with exactly the columns of the schema, text as categories."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.store.schema import TABLES, Column

Tables = Mapping[str, pd.DataFrame]
_DTYPES = {"array": object, "int": np.int64, "float": np.float64}


def empty_tables() -> dict[str, pd.DataFrame]:
    return {name: frame_of({}, columns) for name, columns in TABLES.items()}


def frame_of(data: Mapping[str, Any], columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return a frame with exactly these columns: text as sorted categories, arrays as Python objects."""
    if not any(len(values) for values in data.values()):
        return _empty(columns).copy(deep=False)
    # arrays and not Series: pandas would align the index of each column with those of all others
    return pd.DataFrame({c.name: _column(data.get(c.name, []), c) for c in columns}, copy=False)


@cache
def _empty(columns: tuple[Column, ...]) -> pd.DataFrame:
    return pd.DataFrame({c.name: _column([], c) for c in columns})


def _column(values: Any, column: Column) -> np.ndarray | pd.Categorical:
    """Return the values of one column; raises ValueError for a fraction or NaN in a column of integers."""
    if column.kind == "text":
        return values if isinstance(values, pd.Categorical) else _categorical(values)
    dtype = _DTYPES[column.kind]
    if isinstance(values, np.ndarray) and values.dtype == dtype:
        return values
    return pd.Series(values, dtype=dtype, copy=False).to_numpy()  # arrays are read, or made, for this frame


def _categorical(values: Sequence[str]) -> pd.Categorical:
    labels = sorted(set(values))
    place = {label: i for i, label in enumerate(labels)}
    return pd.Categorical.from_codes([place[value] for value in values], pd.Index(labels, dtype=object))


def concatenated(frames: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    """Return the rows of all frames of the table `name`, one after the other."""
    full = [frame for frame in frames if len(frame)]
    if len(full) < 2:
        return full[0] if full else frame_of({}, TABLES[name])
    texts = [column.name for column in TABLES[name] if column.kind == "text"]
    # the text columns of one file share their labels: each is looked up once
    shared = {id(labels): labels for frame in full for text in texts for labels in [frame[text].cat.categories]}
    union = sorted({label for labels in shared.values() for label in labels})
    place = {label: i for i, label in enumerate(union)}
    moved = {key: np.array([place[label] for label in labels], dtype=np.int32) for key, labels in shared.items()}
    data: dict[str, Any] = {}
    for column in TABLES[name]:
        parts = [frame[column.name] for frame in full]
        if column.kind == "text":
            codes = np.concatenate([moved[id(part.cat.categories)][part.cat.codes] for part in parts])
            data[column.name] = pd.Categorical.from_codes(codes, pd.Index(union, dtype=object))
        else:
            data[column.name] = np.concatenate([part.to_numpy() for part in parts])
    return frame_of(data, TABLES[name])


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with text as Python strings in place of categories."""
    texts = {name: frame[name].astype(object) for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return frame.assign(**texts)


def best_of(frame: pd.DataFrame, identity: list[str], order: list[str]) -> pd.DataFrame:
    """Return one row for each value of the columns `identity`: the last in the order of the columns `order`.

    Only rows that repeat are sorted: they are few, and tables long.
    """
    repeated = frame.duplicated(identity, keep=False)
    if not repeated.any():
        return frame
    best = frame[repeated].sort_values(order, kind="stable").drop_duplicates(identity, keep="last")
    return pd.concat([frame[~repeated], best]).sort_index()
