"""The same x and y, and whatever else is given, in a file of each kind; libraries of the formats write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file


def save_pt(path: Path, zipped: bool = True, **arrays: np.ndarray) -> None:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)


def save_h5(path: Path, chunks: bool = False, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            shape = (max(1, len(array) // 3), *array.shape[1:]) if chunks else None
            file.create_dataset(name, data=array, dtype=array.dtype, chunks=shape, fletcher32=chunks)


def save_frame(path: Path, columns: str = "*", **series: Any) -> None:
    """Parquet of these columns; an array of rows is a list column."""
    frame = pd.DataFrame({name: list(s) if np.ndim(s) > 1 else s for name, s in series.items()})
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        connection.execute(f"copy (select {columns} from frame) to ? (format parquet)", [str(path)])


def save_lists(path: Path, x: np.ndarray, y: np.ndarray, **more: Any) -> None:
    """`more` are columns beside them."""
    save_frame(path, x=x, y=y, **more)


def save_numbered(path: Path, x: np.ndarray, y: np.ndarray, **more: Any) -> None:
    """The last column first: it is the numbers that count."""
    save_frame(path, y=y, **more, **{f"x_{j}": x[:, j] for j in reversed(range(x.shape[1]))})


def save_shards(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    """The third of them has more digits than the others."""
    path.mkdir()
    for number, rows in zip((1, 9, 10), np.split(np.arange(len(x)), [len(x) // 6, len(x) // 2]), strict=True):
        np.savez(path / f"part_{number}.npz", x=x[rows], y=y[rows])


WRITERS: dict[str, Callable[..., None]] = {
    "data.npz": np.savez,
    "data.pt": save_pt,
    "data.safetensors": lambda path, **arrays: save_file(arrays, path),
    "data.h5": save_h5,
}
# forms in which not every array can be saved
FORMS: dict[str, Callable[..., None]] = {
    **WRITERS,
    "packed.npz": np.savez_compressed,
    "old.pt": lambda path, **arrays: save_pt(path, zipped=False, **arrays),
    "chunks.h5": lambda path, **arrays: save_h5(path, chunks=True, **arrays),
    "lists.parquet": save_lists,
    "numbers.parquet": save_numbered,
    "parts": save_shards,
}
