"""A store as tables: `results` (wide), `long` (tidy) and those that it holds, read by SQL or as pandas frames."""

import re
from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from scalecurv.display import Described, encodable
from scalecurv.errors import Misuse
from scalecurv.quantities import Quantity
from scalecurv.results.attributes import attribute_columns
from scalecurv.results.sharpest import sharpest
from scalecurv.results.sql_errors import reason_of
from scalecurv.results.vocabulary import columns_of, in_results, quantities_of, quantity_table
from scalecurv.results.wide import FACTS, LABELS, LONG, long, wide
from scalecurv.store.frames import plain
from scalecurv.store.reader import read_store
from scalecurv.store.schema import NO_STEP, TABLES

VIEWS = ("results", "long")  # tables that are made when they are read
NAMES = (*VIEWS, *TABLES)
_CATALOG = re.compile(r"\b(show|describe|pragma|information_schema|pg_catalog|duckdb_\w+|sqlite_\w+)\b")


class StoredTables(Described):
    """The tables of a store at the time it was opened."""

    _bare = ("path",)

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)
        contents = read_store(self.path)
        self._tables = {name: _encodable(table) for name, table in contents.tables.items()}
        self.broken = contents.broken

    @property
    def _facts(self) -> dict[str, str]:
        checkpoints = self._tables["checkpoints"]
        failed = int((checkpoints["status"] == "failed").sum())
        counts = {name: checkpoints[column].nunique() for name, column in (("runs", "run"), ("tasks", "task_id"))}
        return {
            "path": str(self.path),
            "checkpoints": f"{len(checkpoints):,}",
            **({"failed": f"{failed:,}"} if failed else {}),
            **{name: f"{count:,}" for name, count in counts.items()},
            **({"broken_files": f"{len(self.broken):,}"} if self.broken else {}),
        }

    def table(self, name: str, all_columns: bool = False) -> pd.DataFrame:
        """Return the table of this name: results, long, quantities, or a stored table without changes.

        Raises Misuse for an unknown name; its message lists all names.

        Example:
            >>> import tempfile
            >>> import scalecurv
            >>> quantities = scalecurv.open_store(tempfile.mkdtemp()).table("quantities")
            >>> quantities.loc[4, ["name", "unit", "measure"]].tolist()
            ['trace', 'loss/theta^2', 'moments']
        """
        if name not in NAMES:
            raise Misuse(f"unknown table {name!r}; choose from {', '.join(NAMES)}")
        if name == "results":
            return self.results(all_columns)
        if name == "long":
            return long(self._checkpoints, self._chosen, self._attributes)
        if name == "quantities":
            return quantity_table(self.quantities)
        frame = plain(self._tables[name])
        if "step" in frame:
            frame["step"] = frame["step"].astype("Int64").mask(frame["step"] == NO_STEP)
        return frame

    def results(self, all_columns: bool = False) -> pd.DataFrame:
        """Return one row per (checkpoint, task, seed, dtype), ordered by run and step.

        After its labels and facts come four columns for each quantity: its value, standard error, and the ends of its
        interval. Those that are null at every checkpoint are left out, unless `all_columns` is True.
        """
        return self._shown((), all_columns)

    def estimates(self) -> pd.DataFrame:
        """Return one row for each time that a number was computed: see KEYS in scalecurv.store.schema."""
        return self.table("estimates")

    def chosen(self) -> pd.DataFrame:
        """Return the best row of each quantity and component at each checkpoint, whatever options it was computed with.

        Rows that did not fail precede the others, then come the latest version of the measure, exact rows, and the
        shortest interval. Of sampled rows the one of most products counts, unless another is less than half as long. A
        coarse run never hides a fine one.
        """
        return plain(self._chosen)

    def sql(self, query: str, params: Mapping[str, Any] | None = None, all_columns: bool = False) -> pd.DataFrame:
        """Return the rows of a query, in DuckDB's SQL, over `results`, `long` and the stored tables.

        `params` are the values of `$name` in the query. `results` has the columns that are not null everywhere, those
        that the query names, and with `all_columns` every other. Raises Misuse where the query does not run.

        Example:
            >>> import tempfile
            >>> import scalecurv
            >>> store = scalecurv.open_store(tempfile.mkdtemp())
            >>> store.sql("select step, trace from results where run = $run", {"run": "/runs/a"}).columns.tolist()
            ['step', 'trace']
        """
        with self.connect(query, all_columns) as connection:
            try:
                result = connection.sql(query, params=dict(params or {}) or None)
                if result is None:
                    raise Misuse("the query returns no rows; give a SELECT over results or estimates")
                return result.df()  # DuckDB computes the rows here, so that errors may come here too
            except duckdb.Error as error:
                raise Misuse(f"the query does not run: {reason_of(error, NAMES)}") from error

    def connect(self, query: str, all_columns: bool = False) -> duckdb.DuckDBPyConnection:
        """Return a connection to an in-memory database that holds every table that `query` names.

        A query of the catalog, such as "show tables", gets all tables.
        """
        connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
        words = set(re.findall(r"\w+", query.lower()))
        catalog = _CATALOG.search(query.lower()) is not None
        for name in NAMES:
            if catalog or name in words:
                rows = self._shown(words, all_columns) if name == "results" else self.table(name)
                connection.register(name, rows)
        return connection

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that the store may hold: those of this package, then those of measures of one's own."""
        return quantities_of(self._tables)

    def _shown(self, named: set[str] | tuple[()], all_columns: bool) -> pd.DataFrame:
        """Return `results` without those columns of quantities that are null everywhere and that are not `named`."""
        results = self._results
        if all_columns or results.empty:  # without rows nothing tells which columns will be null
            return results.copy()
        numbers = [name for quantity in in_results(self.quantities) for name in columns_of(quantity)]
        empty = results[numbers].isna().all()
        unseen = [name for name in numbers if empty[name] and name.lower() not in named]
        return results.drop(columns=unseen).copy()  # in few blocks: pandas warns whoever adds a column to one of many

    @cached_property
    def _checkpoints(self) -> pd.DataFrame:
        return self.table("checkpoints")

    @cached_property
    def _attributes(self) -> pd.DataFrame:
        runs = self._tables["runs"]
        there = runs[runs["run"].isin(self._checkpoints["run"].unique())]
        numbers = (name for quantity in in_results(self.quantities) for name in columns_of(quantity))
        return attribute_columns(there, {*LABELS, *FACTS, *LONG, *numbers})

    @cached_property
    def _chosen(self) -> pd.DataFrame:
        return sharpest(self._tables["estimates"])

    @cached_property
    def _results(self) -> pd.DataFrame:
        return wide(self._checkpoints, self._chosen, in_results(self.quantities), self._attributes)


def _encodable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts SQL and every format take."""
    found = {}
    for name in table.select_dtypes("category"):
        texts = {text: encodable(text) for text in table[name].cat.categories}
        if any(text != other for text, other in texts.items()):
            found[name] = table[name].astype(object).map(texts).astype("category")
    return table.assign(**found)
