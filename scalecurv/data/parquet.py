"""Columns of a Parquet file, read by DuckDB: numbers, lists of them to any depth, or x0, x1, ...; by split."""

import glob
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scalecurv.data.stored import Arrays, Stored
from scalecurv.display import shown
from scalecurv.errors import Misuse

SPLIT = "split"
COLUMNS_AT_A_TIME = 64
WANTED = "a column y, and a list column x or columns numbered x0, x1, ..."
KINDS = "numbers, or lists of them to any depth"
_INTEGERS = {"TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "BIGINT": 8}
_DTYPES = {
    "BOOLEAN": np.dtype(bool),
    "FLOAT": np.dtype(np.float32),
    "DOUBLE": np.dtype(np.float64),
    **{name: np.dtype(f"i{size}") for name, size in _INTEGERS.items()},
    **{f"U{name}": np.dtype(f"u{size}") for name, size in _INTEGERS.items()},
}


@contextmanager
def parquet_arrays(path: Path) -> Iterator[Arrays]:
    """Yield the columns by name, numbered ones together as x; those of each NAME in a text column `split` as NAME."""
    import duckdb  # imported here, because few sources are Parquet files, and workers read none

    with (
        duckdb.connect(":memory:", config={"python_enable_replacements": False}) as connection,
        _converted(duckdb.Error),
    ):
        whole = _Table(path, connection)
        types = {row[0]: row[1] for row in whole.select("*", describe=True).fetchall()}
        split = types.pop(SPLIT, None)
        numbered = _features(path, types)
        columns = {name: {name: kind} for name, kind in types.items() if name not in numbered}
        if numbered:
            columns["x"] = {name: types[name] for name in numbered}

        def tree(table: _Table) -> dict[str, Any]:
            return {name: partial(table.stored, kinds) for name, kinds in columns.items()}

        if split is None:
            yield tree(whole)
        else:
            yield {name: tree(_Table(path, connection, name)) for name in whole.splits(split)}


@contextmanager
def _converted(errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise ValueError(str(error)) from error


def _features(path: Path, columns: dict[str, str]) -> list[str]:
    """Return the numbered columns in order; raises Misuse for gaps, mixed numbering or a column x beside them."""
    matches = [match for match in map(re.compile(r"([xX]_?)([0-9]+)").fullmatch, columns) if match]
    if not matches:
        return []
    numbered = {int(match[2]): match[0] for match in matches}
    first = min(numbered)
    order = list(range(first, first + len(matches)))
    whole = first in (0, 1) and sorted(numbered) == order and len({match[1] for match in matches}) == 1
    if whole and not {"x", "X"} & columns.keys():
        return [numbered[i] for i in order]
    names = ", ".join([*map(shown, list(columns)[:12]), *(["..."] if len(columns) > 12 else [])])
    raise Misuse(f"--data {path} has the columns {names}; give {WANTED}, none left out")


@dataclass(frozen=True)
class _Table:
    """The rows of the file, or of one split, in the order of the file."""

    path: Path
    connection: Any
    split: str | None = None

    def select(self, columns: str, describe: bool = False, within: str = "{}") -> Any:
        """Return a cursor over `select columns`; path and split are parameters, so that no other file is read.

        `within` is a query around it, {} in the place of the rows.
        """
        query = f"select {columns} from read_parquet(?, hive_partitioning = false)"
        given = [glob.escape(str(self.path.absolute()))]
        if self.split is not None:
            query, given = f"{query} where {SPLIT} = ?", [*given, self.split]
        query = within.replace("{}", query)
        return self.connection.execute(f"describe {query}" if describe else query, given)

    def splits(self, kind: str) -> list[str]:
        if kind != "VARCHAR":
            raise Misuse(f"--data {self.path}: the column {SPLIT} is {kind}; make it text, the name of a split")
        names = [row[0] for row in self.select(f"distinct {SPLIT}").fetchall()]
        if None in names:
            raise self._null(SPLIT)
        return sorted(names)

    def stored(self, columns: dict[str, str]) -> Stored:
        """Return a column of numbers or of lists of them, or the numbered columns in a dtype that holds them all."""
        names = list(columns)
        kinds = [re.fullmatch(r"(\w+)((?:\[\d*\])*)", kind) for kind in columns.values()]
        numbered = len(names) > 1 or re.fullmatch(r"[xX]_?[0-9]+", names[0])
        for name, kind in zip(names, kinds, strict=True):
            if kind is None or kind[1] not in _DTYPES or (kind[2] and numbered):
                wanted = "numbers" if numbered else KINDS
                raise Misuse(f"--data {self.path}: {shown(name)} is of type {columns[name]}; give {wanted}")
        found = [kind for kind in kinds if kind]
        dtype = np.result_type(*(_DTYPES[kind[1]] for kind in found))
        (rows,) = self.select("count(*)").fetchone()
        if numbered:
            return Stored((rows, len(names)), dtype, partial(_chosen, self._numbered, names, rows, dtype))
        (name,), depth = names, found[0][2].count("[")
        # fixed arrays and lists are all read as lists
        values = f"{_quoted(name)}::{found[0][1]}{'[]' * depth} as v"
        widths: list[int] = []
        for level in range(depth):
            widths.append(self._width(name, values, level, rows * math.prod(widths)))
        shape = (rows, *widths)
        return Stored(shape, dtype, partial(_chosen, self._flat, name, values, shape))

    def _width(self, name: str, values: str, level: int, present: int) -> int:
        """Return the length of all lists at a level of nesting, of which `present` are expected."""
        lengths = f"select min(len(v)), max(len(v)), count(v) from ({_unnested(level)})"
        least, most, found = self.select(values, within=lengths).fetchone()
        if found < present:
            raise self._null(name)
        if least != most:
            raise Misuse(
                f"--data {self.path}: {shown(name)} holds lists of {least} to {most} entries; give them one "
                f"length, for example by padding"
            )
        return most or 0

    def _flat(self, name: str, values: str, shape: tuple[int, ...]) -> np.ndarray:
        column = self.select(values, within=_unnested(len(shape) - 1)).fetchnumpy()["v"]
        return self._values(column, name).reshape(shape)

    def _numbered(self, names: list[str], rows: int, dtype: np.dtype) -> np.ndarray:
        """Return the numbered columns as one array, read some at a time, so that only these are in memory beside it."""
        x = np.empty((rows, len(names)), dtype)
        for start in range(0, len(names), COLUMNS_AT_A_TIME):
            some = names[start : start + COLUMNS_AT_A_TIME]
            columns = self.select(", ".join(map(_quoted, some))).fetchnumpy()
            for j, name in enumerate(some, start):
                x[:, j] = self._values(columns[name], name)
        return x

    def _values(self, column: np.ndarray, name: str) -> np.ndarray:
        if np.ma.is_masked(column):
            raise self._null(name)
        return np.ma.getdata(column)

    def _null(self, name: str) -> Misuse:
        return Misuse(f"--data {self.path}: {shown(name)} holds nulls; leave their rows out or fill them in")


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _unnested(levels: int) -> str:
    """Return the query of the values v that lie in lists of lists, one row each, in their order."""
    query = "{}"
    for _ in range(levels):
        query = f"select unnest(v) as v from ({query})"
    return query


def _chosen(read: Any, *arguments: Any) -> np.ndarray:
    *given, rows = arguments
    array: np.ndarray = read(*given)
    return array if rows is None else array[rows]
