"""Results as an xarray Dataset: quantities over runs and steps, with their intervals, units and meanings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scalecurv import __version__
from scalecurv.display import listing, shown
from scalecurv.errors import Misuse
from scalecurv.plot.sql import condition
from scalecurv.results.columns import described_columns
from scalecurv.results.vocabulary import columns_of, in_results
from scalecurv.results.wide import FACTS, LABELS

if TYPE_CHECKING:
    import xarray

    from scalecurv.results.tables import StoredTables

DIMENSIONS = ("step", "checkpoint")  # what `by` may be
APART = ("task_id", "dtype", "seed")  # dimensions where they have several values
BESIDE_EACH = ("checkpoint", "epoch", "fingerprint", "status", "chain_status")  # coordinates of each checkpoint


def to_xarray(
    store: "StoredTables", quantities: Iterable[str] | None = None, where: str | None = None, by: str = "step"
) -> "xarray.Dataset":
    """Return `results` of a store as a Dataset; see `Store.to_xarray`, which this is."""
    try:
        import xarray
    except ImportError as error:
        raise Misuse("to_xarray needs xarray; run `pip install xarray`") from error
    if by not in DIMENSIONS:
        raise Misuse(f"by is {by!r}; give one of {', '.join(DIMENSIONS)}")
    rows = store.results(all_columns=True)
    rows = rows if where is None else rows[condition(rows, where)]
    rows = rows if by == "checkpoint" else rows[rows["status"] != "failed"]
    names, attributes = _columns(store, rows, quantities), _attributes(store, rows)
    dimensions, place = _by_row(rows) if by == "checkpoint" else _by_step(rows)
    shape = [len(values) for values in dimensions.values()]
    described = described_columns("results", [str(name) for name in rows], store.quantities)

    def variable(name: str, empty: Any, dtype: Any) -> tuple[list[str], np.ndarray, dict[str, str]]:
        cells = np.full(shape, empty, dtype=dtype)
        cells[place] = rows[name].astype(object).where(rows[name].notna(), empty).to_numpy().astype(dtype)
        return list(dimensions), cells, described[name]

    coordinates: dict[str, Any] = {name: ([name], values, described[name]) for name, values in dimensions.items()}
    if by == "checkpoint":
        beside = [name for name in (*LABELS, *attributes, *FACTS) if name not in dimensions]
    else:
        beside = list(BESIDE_EACH)
        coordinates |= {name: _of_runs(rows, name, described[name]) for name in attributes}
        coordinates |= {name: ((), rows[name].iloc[0]) for name in APART if name not in dimensions and len(rows)}
    coordinates |= {name: variable(name, *_empty(rows[name])) for name in beside}
    numbers = {name: variable(name, np.nan, np.float64) for name in names}
    told = {"title": f"results of {store.path}", "source": f"scalecurv {__version__}"}
    return xarray.Dataset(numbers, coordinates, told)


def _columns(store: "StoredTables", rows: pd.DataFrame, wanted: Iterable[str] | None) -> list[str]:
    """Return the four columns of each quantity that is wanted; raises Misuse for a name that is none."""
    known = {quantity.name: quantity for quantity in in_results(store.quantities)}
    if isinstance(wanted, str):
        wanted = [wanted]
    if wanted is None:
        wanted = [name for name in known if rows[name].notna().any()]
    found = list(wanted)
    if unknown := [name for name in found if name not in known]:
        raise Misuse(f"no quantity {listing(unknown)} in results; there are {listing(known, 8)}")
    return [column for name in found for column in columns_of(known[name])]


def _attributes(store: "StoredTables", rows: pd.DataFrame) -> list[str]:
    """Return the columns that describe runs, such as lr."""
    numbers = {column for quantity in in_results(store.quantities) for column in columns_of(quantity)}
    return [str(name) for name in rows if name not in numbers and name not in (*LABELS, *FACTS)]


def _by_row(rows: pd.DataFrame) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]:
    return {"checkpoint": rows["checkpoint"].to_numpy(dtype=object)}, (np.arange(len(rows)),)


def _by_step(rows: pd.DataFrame) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]:
    """Return the values of each dimension, and where each row lies; raises Misuse where two lie at one place."""
    if rows["step"].isna().any():
        files = rows.loc[rows["step"].isna(), "checkpoint"]
        raise Misuse(
            f"{len(files)} checkpoint(s) have no step: {listing(files, 2)}; "
            "give where='step is not null' to leave them out, or by='checkpoint' to keep them"
        )
    names = ["run", "step", *(name for name in APART if rows[name].nunique() > 1)]
    found = {name: pd.factorize(rows[name], sort=True) for name in names}
    repeated = rows[rows.duplicated(names, keep=False)]
    if len(repeated):
        first = repeated[(repeated[names] == repeated[names].iloc[0]).all(axis="columns")]
        raise Misuse(
            f"{len(first)} checkpoints of run {shown(first['run'].iloc[0])} are of step {first['step'].iloc[0]}: "
            f"{listing(first['checkpoint'], 3)}; choose with where=, or give by='checkpoint' to keep them"
        )
    dimensions = {name: _plain(values) for name, (_, values) in found.items()}
    return dimensions, tuple(codes for codes, _ in found.values())


def _plain(values: Any) -> np.ndarray:
    """Return values as NumPy holds them: whole numbers as int64, text as objects."""
    kind = np.int64 if pd.api.types.is_integer_dtype(values) else object
    return np.asarray(values, dtype=kind)


def _of_runs(rows: pd.DataFrame, name: str, described: dict[str, str]) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """Return an attribute of runs as a coordinate of the dimension `run`."""
    values = rows.drop_duplicates("run").sort_values("run")[name]
    empty, kind = _empty(values)
    return ["run"], values.astype(object).where(values.notna(), empty).to_numpy().astype(kind), described


def _empty(column: pd.Series) -> tuple[Any, Any]:
    """Return the value of a missing cell of a column, and the type of its array: whole columns stay whole."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return (False, np.bool_) if column.notna().all() else (None, object)
    if pd.api.types.is_numeric_dtype(column.dtype):
        whole = pd.api.types.is_integer_dtype(column.dtype) and column.notna().all()
        return (0, np.int64) if whole else (np.nan, np.float64)
    return "", object
