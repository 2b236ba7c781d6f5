"""The export of a table of a store to a file of another kind, written whole or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from scalecurv import __version__
from scalecurv.errors import Misuse
from scalecurv.results.columns import described_columns
from scalecurv.results.formats import render
from scalecurv.results.query import Store
from scalecurv.results.tables import NAMES
from scalecurv.store.flat import encode_flat
from scalecurv.store.writer import write_atomically

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".nc": "netcdf", ".h5": "netcdf"}
COORDINATES = ("run", "step")  # of every number of a table that has them


def export(store: Store, file: Path, table: str = "results", all_columns: bool = False) -> int:
    """Write `table` of `store` to `file`, in the format of its suffix, and return the number of rows.

    `results` has no columns that are null everywhere, unless `all_columns` is True. In .nc and .h5 each variable has
    a unit and the words that define it, and the run and the step of a row are its coordinates.
    Raises Misuse for an unknown suffix or table and for a missing directory, StoreError where the disk is full.
    """
    if file.suffix not in SUFFIXES:
        raise Misuse(f"{file} has no suffix that says what to write; give one of {', '.join(SUFFIXES)}")
    if table not in NAMES:
        raise Misuse(f"unknown table {table!r}; choose from {', '.join(NAMES)}")
    if store.path.resolve() in file.resolve().parents:
        raise Misuse(f"{file} lies in the store itself; give a file outside of {store.path}")
    if not file.parent.is_dir():
        raise Misuse(f"{file.parent} does not exist; give a file in a directory that does")
    frame = store.table(table, all_columns)
    form = SUFFIXES[file.suffix]
    if form == "netcdf":
        content = _flat(store, table, frame)
    else:
        rendered = render(frame, form)
        content = rendered.encode() if isinstance(rendered, str) else rendered
    write_atomically(file, content)
    return len(frame)


def _flat(store: Store, table: str, frame: pd.DataFrame) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    attributes = {
        "title": f"{table} of {store.path}",
        "source": f"scalecurv {__version__}",
        "history": f"{now} scalecurv export {store.path}",
    }
    try:
        return encode_flat(frame, attributes, described_columns(table, frame, store.quantities), COORDINATES)
    except TypeError as error:
        raise Misuse(f"table {table} has rows of different lengths ({error}); export it to .parquet") from error
