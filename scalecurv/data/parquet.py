"""Columns of a Parquet file, read by DuckDB: y, and a list column x or columns x0, x1, ...; by split if it has one."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scalecurv.data.stored import Arrays, Stored
from scalecurv.errors import Misuse

SPLIT = "split"
COLUMNS_AT_A_TIME = 64
WANTED = "a column y, and a list column x or columns numbered x0, x1, ..."
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
    """Yield x and y, or NAME/x and NAME/y for each NAME in a text column `split`; raises Misuse for other columns."""
    import duckdb  # here, for workers are sent their data, and most data is in other files

    with (
        duckdb.connect(":memory:", config={"python_enable_replacements": False}) as connection,
        _converted(duckdb.Error),
    ):
        whole = _Table(path, connection)
        types = {row[0]: row[1] for row in whole.select("*", describe=True).fetchall()}
        features = _features(path, types)
        tables = {"": whole}
        if SPLIT in types:
            tables = {f"{name}/": _Table(path, connection, name) for name in whole.splits(types[SPLIT])}
        yield {
            prefix + name: partial(table.stored, {column: types[column] for column in columns})
            for prefix, table in tables.items()
            for name, columns in (("x", features), ("y", ["y"]))
        }


@contextmanager
def _converted(errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise ValueError(str(error)) from error


def _features(path: Path, columns: dict[str, str]) -> list[str]:
    """Return the column x, or the numbered ones in order; raises Misuse for gaps, mixed numbering or both kinds."""
    matches = [match for match in map(re.compile(r"(x_?)([0-9]+)").fullmatch, columns) if match]
    numbered = {int(match[2]): match[0] for match in matches}
    first = min(numbered, default=-1)
    order = list(range(first, first + len(matches)))
    whole = first in (0, 1) and sorted(numbered) == order and len({match[1] for match in matches}) == 1
    if "y" in columns and "x" in columns and not matches:
        return ["x"]
    if "y" in columns and "x" not in columns and whole:
        return [numbered[i] for i in order]
    names = ", ".join([*list(columns)[:12], *(["..."] if len(columns) > 12 else [])])
    raise Misuse(f"--data {path} has the columns {names}; give {WANTED}, none left out")


@dataclass(frozen=True)
class _Table:
    """The rows of the file, or of one split, in the order of the file."""

    path: Path
    connection: Any
    split: str | None = None

    def select(self, columns: str, describe: bool = False) -> Any:
        """Return a cursor over `select columns`; path and split are parameters, so that no other file is read."""
        query = f"select {columns} from read_parquet(?, hive_partitioning = false)"
        given = [glob.escape(str(self.path.absolute()))]
        if self.split is not None:
            query, given = f"{query} where {SPLIT} = ?", [*given, self.split]
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
        numbered = names[0] not in ("x", "y")
        kinds = [re.fullmatch(r"(\w+)(\[\d*\])?", kind) for kind in columns.values()]
        for name, kind in zip(names, kinds, strict=True):
            if kind is None or kind[1] not in _DTYPES or (kind[2] and numbered):
                wanted = "numbers" if numbered else "numbers or a list of them"
                raise Misuse(f"--data {self.path}: {name} is of type {columns[name]}; give {wanted}")
        dtype = np.result_type(*(_DTYPES[kind[1]] for kind in kinds if kind))
        (rows,) = self.select("count(*)").fetchone()
        if numbered:
            return Stored((rows, len(names)), dtype, partial(_chosen, self._numbered, names, rows, dtype))
        if not columns[names[0]].endswith("]"):
            return Stored((rows,), dtype, partial(_chosen, self._flat, names[0], names[0]))
        shape = (rows, self._width(names[0], rows))
        return Stored(shape, dtype, partial(_chosen, self._lists, names[0], shape))

    def _width(self, name: str, rows: int) -> int:
        least, most, present = self.select(f"min(len({name})), max(len({name})), count({name})").fetchone()
        if present < rows:
            raise self._null(name)
        if least != most:
            raise Misuse(f"--data {self.path}: {name} holds lists of {least} to {most} numbers; give them one length")
        return most or 0

    def _flat(self, expression: str, name: str) -> np.ndarray:
        return self._values(self.select(f"{expression} as v").fetchnumpy()["v"], name)

    def _lists(self, name: str, shape: tuple[int, int]) -> np.ndarray:
        return self._flat(f"unnest({name})", name).reshape(shape)

    def _numbered(self, names: list[str], rows: int, dtype: np.dtype) -> np.ndarray:
        """Return the numbered columns as one array, read some at a time, so that only these are in memory beside it."""
        x = np.empty((rows, len(names)), dtype)
        for start in range(0, len(names), COLUMNS_AT_A_TIME):
            some = names[start : start + COLUMNS_AT_A_TIME]
            columns = self.select(", ".join(some)).fetchnumpy()
            for j, name in enumerate(some, start):
                x[:, j] = self._values(columns[name], name)
        return x

    def _values(self, column: np.ndarray, name: str) -> np.ndarray:
        if np.ma.is_masked(column):
            raise self._null(name)
        return np.ma.getdata(column)

    def _null(self, name: str) -> Misuse:
        return Misuse(f"--data {self.path}: {name} holds nulls; leave their rows out or fill them in")


def _chosen(read: Any, *arguments: Any) -> np.ndarray:
    *given, rows = arguments
    array: np.ndarray = read(*given)
    return array if rows is None else array[rows]
