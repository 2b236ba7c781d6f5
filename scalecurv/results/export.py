"""The export of a table of a store to a file of another kind, written whole or not at all."""

from pathlib import Path

from scalecurv.errors import Misuse
from scalecurv.results.formats import render
from scalecurv.results.query import Store
from scalecurv.store.flat import encode_flat
from scalecurv.store.schema import TABLES
from scalecurv.store.writer import write_atomically

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".nc": "netcdf", ".h5": "netcdf"}


def export(store: Store, file: Path, table: str = "results") -> int:
    """Write `table` of `store` to `file`, in the format of its suffix, and return the number of rows.

    Raises Misuse for an unknown suffix or table and for a missing directory, StoreError where the disk is full.
    """
    if file.suffix not in SUFFIXES:
        raise Misuse(f"{file} has no suffix that says what to write; give one of {', '.join(SUFFIXES)}")
    if table not in ("results", *TABLES):
        raise Misuse(f"unknown table {table!r}; choose from results, {', '.join(TABLES)}")
    if store.path.resolve() in file.resolve().parents:
        raise Misuse(f"{file} lies in the store itself; give a file outside of {store.path}")
    if not file.parent.is_dir():
        raise Misuse(f"{file.parent} does not exist; give a file in a directory that does")
    frame = store.results() if table == "results" else store.table(table)
    form = SUFFIXES[file.suffix]
    units = {column.name: column.units for column in TABLES.get(table, ())}
    if form == "netcdf":
        try:
            content = encode_flat(frame, table, units)
        except TypeError as error:
            raise Misuse(f"table {table} has rows of different lengths ({error}); export it to .parquet") from error
    else:
        rendered = render(frame, form)
        content = rendered.encode() if isinstance(rendered, str) else rendered
    write_atomically(file, content)
    return len(frame)
