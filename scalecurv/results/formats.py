"""The conversion of a table of results to text or bytes: to read, for spreadsheets, programs and archives."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd


def render(frame: pd.DataFrame, form: str) -> str | bytes:
    """Return `frame` as text or as the bytes of a Parquet file, in one of FORMATS.

    json is a list of objects, and ndjson an object in each line.
    """
    if form == "parquet":
        return _parquet(frame)
    if form == "table" and frame.empty:
        return "  ".join(frame.columns) + "\n"  # pandas would print the index of an empty frame
    if form == "table":
        blank = frame.astype(object).where(frame.notna(), "")
        return blank.to_string(index=False, float_format=lambda x: f"{x:.6g}", max_colwidth=60) + "\n"
    if form == "csv":  # NumPy would abbreviate long arrays
        lists = {name: cells.map(_plain) for name, cells in frame.items() if cells.dtype == object}
        return frame.assign(**lists).to_csv(index=False)
    rows = frame.astype(object).itertuples(index=False, name=None)
    objects = [dict(zip(frame.columns, map(_plain, row), strict=True)) for row in rows]
    if form == "ndjson":
        return "".join(json.dumps(one, allow_nan=False) + "\n" for one in objects)
    return json.dumps(objects, indent=2, allow_nan=False) + "\n"


def _plain(cell: Any) -> Any:
    """Return a cell as a JSON value with every digit: arrays as lists, numbers that are not finite as None."""
    if cell is np.ma.masked:  # a null in a list of DuckDB
        return None
    if isinstance(cell, np.ndarray | list):
        return [_plain(item) for item in cell]
    if isinstance(cell, dict):
        return {str(name): _plain(item) for name, item in cell.items()}
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and not math.isfinite(cell)):
        return None
    return cell if isinstance(cell, bool | int | float | str) else str(cell)


def _parquet(frame: pd.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        path = Path(folder) / "frame.parquet"
        connection.register("frame", frame)
        connection.execute(f"copy frame to '{path}' (format parquet)")
        return path.read_bytes()
