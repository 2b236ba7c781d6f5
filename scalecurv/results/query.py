"""A store as tables: `results` (wide) and `estimates` (tidy), read by SQL or as pandas frames."""

import re
from collections import defaultdict
from functools import cache, cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.geometry.chain import Verdict, chain_verdict, stored_verdict
from scalecurv.quantities import CHAIN, QUANTITIES
from scalecurv.results.density import EVERY, SpectralRule
from scalecurv.store.frames import best_of, plain
from scalecurv.store.reader import read_store
from scalecurv.store.schema import ANALYSED, KEYS, NO_STEP

PARTS_OF_ESTIMATE = {"": "value", "_stderr": "stderr", "_lower": "lower", "_upper": "upper"}


class Store:
    """The content of a directory of results at the time it was opened. Reading loads neither torch nor ray.

    Example:
        >>> import tempfile
        >>> store = Store(tempfile.mkdtemp())  # a directory that `scalecurv analyze` writes to; this one is empty
        >>> len(store.results()), store.broken
        (0, {})
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)
        contents = read_store(self.path)
        self._tables = contents.tables
        self.broken = contents.broken

    def table(self, name: str) -> pd.DataFrame:
        """Return one table as it is stored: checkpoints, estimates, arrays, tasks, provenance or files."""
        frame = plain(self._tables[name])
        if "step" in frame:
            frame["step"] = frame["step"].astype("Int64").mask(frame["step"] == NO_STEP)
        return frame

    def results(self) -> pd.DataFrame:
        """Return one row per (checkpoint, task, seed, dtype), ordered by run and step, with four columns a quantity."""
        return self._results.copy()

    def estimates(self) -> pd.DataFrame:
        """Return one row per (key, quantity, component)."""
        return self.table("estimates")

    def spectrum(
        self, fingerprint: str, seed: int | None = None, *, task_id: str | None = None, dtype: str | None = None
    ) -> SpectralRule:
        """Return the spectral density of a checkpoint as Gauss rules, of one `seed` or all merged; raises Misuse."""
        return spectral_rule(self._tables["arrays"], fingerprint, seed, task_id, dtype)

    def chosen(self) -> pd.DataFrame:
        """Return the best row of each quantity and component at each checkpoint, whatever options it was computed with.

        Rows that did not fail precede the others, then come the latest version of the measure, exact rows, the most
        products, and the newest. A coarse run never hides a fine one, and the choice never depends on the values.
        """
        return plain(self._chosen)

    def sql(self, query: str) -> pd.DataFrame:
        """Return the rows of a query, in DuckDB's SQL, over `results` and the tables; raises Misuse where it fails."""
        with self.connect(query) as connection:
            try:
                result = connection.sql(query)
                if result is None:
                    raise Misuse("the query returns no rows; give a SELECT over results or estimates")
                return result.df()  # DuckDB computes the rows here, so that errors may come here too
            except duckdb.Error as error:
                reason = " ".join(str(error).partition("\nLINE ")[0].split())  # candidates stay, the echoed query goes
                raise Misuse(f"the query does not run: {reason}") from error

    def connect(self, query: str) -> duckdb.DuckDBPyConnection:
        """Return a connection to an in-memory database with the tables that `query` mentions."""
        connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
        for name in ("results", *self._tables):
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                connection.register(name, self._results if name == "results" else self.table(name))
        return connection

    @cached_property
    def _chosen(self) -> pd.DataFrame:
        rows = self._tables["estimates"]
        rows = rows.assign(good=rows["status"] != "failed", exact=rows["status"] == "exact")
        order = ["good", "version", "exact", "num_matvecs", "created"]
        return best_of(rows, [*ANALYSED, *KEYS["estimates"][1:]], order).drop(columns=["good", "exact"])

    @cached_property
    def _results(self) -> pd.DataFrame:
        """Return checkpoints with their chosen estimates of component "", as `partial` where one of these failed."""
        checkpoints = self.table("checkpoints")
        chosen = self._chosen
        chosen = chosen[chosen["component"] == ""]
        failed = chosen["status"] == "failed"
        broken = pd.MultiIndex.from_frame(plain(chosen.loc[failed, ANALYSED]))
        mixed = pd.MultiIndex.from_frame(checkpoints[ANALYSED]).isin(broken) & (checkpoints["status"] != "failed")
        checkpoints["status"] = checkpoints["status"].mask(mixed, "partial")
        keep = ["path", "run", "step", "epoch", "num_params", *ANALYSED, "status", "error", "total_matvecs"]
        joined = checkpoints[keep].merge(_wide(chosen[~failed]), how="left", on=ANALYSED)
        joined = joined.rename(columns={"path": "checkpoint"})
        joined.insert(joined.columns.get_loc("status") + 1, "chain_status", joined.pop("chain_status"))
        failed = joined["status"] == "failed"
        joined["num_params"] = joined["num_params"].astype("Int64").mask(failed)
        return joined.sort_values(["run", "step", "checkpoint"], kind="stable", ignore_index=True)


def _wide(chosen: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each analysed content: four columns a quantity, and the verdict on the chain of bounds."""
    grouped = chosen.groupby(ANALYSED, observed=True)
    identities = grouped.size().index
    quantities = chosen["quantity"].cat.remove_unused_categories()  # all text columns share their categories
    rows, columns = grouped.ngroup().to_numpy(), quantities.cat.codes.to_numpy()
    known = list(quantities.cat.categories)
    wide: dict[str, Any] = {}
    for suffix, part in PARTS_OF_ESTIMATE.items():
        grid = np.full((len(identities), len(known)), np.nan)
        grid[rows, columns] = chosen[part].to_numpy()
        for quantity in QUANTITIES:
            numbers = grid[:, known.index(quantity.name)] if quantity.name in known else np.full(len(grid), np.nan)
            if quantity.integer and suffix != "_stderr":  # null where an end of an interval is infinite
                wide[quantity.name + suffix] = pd.Series(np.where(np.isfinite(numbers), numbers, np.nan)).astype(
                    "Int64"
                )
            else:
                wide[quantity.name + suffix] = numbers
    ordered = [quantity.name + suffix for quantity in QUANTITIES for suffix in PARTS_OF_ESTIMATE]
    numbers = pd.DataFrame({name: wide[name] for name in ordered})
    return pd.concat(
        [plain(identities.to_frame(index=False)), numbers.assign(chain_status=_chains(chosen, rows))], axis=1
    )


def _chains(chosen: pd.DataFrame, rows: np.ndarray) -> pd.Series:
    """Return the chain's verdict by row of the wide table, `rows` being that of each estimate; none without links."""
    is_link = chosen["quantity"].isin(CHAIN).to_numpy()
    verdict = cache(stored_verdict)  # a few methods, in many rows
    links: dict[int, list[Verdict]] = defaultdict(list)
    for row, method in zip(rows[is_link].tolist(), chosen["method"][is_link], strict=True):
        links[row].append(verdict(method))
    return pd.Series({row: str(chain_verdict(verdicts)) for row, verdicts in links.items()}, dtype="string")


def open_store(path: str | PathLike[str]) -> Store:
    """Open a directory that `scalecurv analyze` wrote to, also while it is being written; raises Misuse.

    Example:
        >>> import tempfile
        >>> import scalecurv
        >>> store = scalecurv.open_store(tempfile.mkdtemp())  # give the directory of a store; this one is empty
        >>> store.sql("select step, trace, trace_lower, trace_upper from results order by step").shape
        (0, 4)
    """
    return Store(path)


PARTS = ("ritz_nodes", "ritz_weights", "ritz_starts")


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
