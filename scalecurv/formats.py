"""A table of results as text or bytes: for eyes, spreadsheets, programs and archives."""

import tempfile
from pathlib import Path

import duckdb
import pandas as pd

FORMATS = ("table", "csv", "json", "parquet")


def render(frame: pd.DataFrame, form: str) -> str | bytes:
    """`frame` as a table or csv text, as a JSON list of objects, or as the bytes of a Parquet file."""
    if form == "csv":
        return frame.to_csv(index=False)
    if form == "json":
        return frame.to_json(orient="records", indent=2, double_precision=15) + "\n"
    if form == "parquet":
        return _parquet(frame)
    return frame.to_string(index=False, float_format=lambda x: f"{x:.6g}", na_rep="", max_colwidth=60) + "\n"


def _parquet(frame: pd.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        path = Path(folder) / "frame.parquet"
        connection.register("frame", frame)
        connection.execute(f"copy frame to '{path}' (format parquet)")
        return path.read_bytes()
