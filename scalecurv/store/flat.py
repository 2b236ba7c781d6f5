"""One table as a plain HDF5 file that any netCDF-4 reader opens, for archives and other programs."""

import io
from collections.abc import Collection, Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd

from scalecurv.store.schema import FORMAT

MISSING = np.iinfo(np.int64).min  # an integer that does not apply; readers mask it by `_FillValue`
CHUNK = 65536


def encode_flat(
    frame: pd.DataFrame,
    attributes: Mapping[str, str],
    described: Mapping[str, Mapping[str, str]],
    labels: Collection[str] = (),
) -> bytes:
    """Return the bytes of a file with a 1-D variable along `row` for each column.

    A variable is text, int64 or float64 (NaN: does not apply); a truth value is 0 or 1. `attributes` are those of the
    file, `described` those of each variable by name. The columns that are `labels` are coordinates of all others, as
    the CF conventions write them, so that xarray shows them beside each number. Raises TypeError for a column of any
    other kind.
    """
    buffer = io.BytesIO()
    coordinates = " ".join(name for name in labels if name in frame)
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=f"{FORMAT}-table", **attributes)
        row = file.create_dataset("row", data=np.arange(len(frame)), dtype=np.dtype("i8"))
        row.make_scale("row")
        for name in frame:
            data, facts = _variable(frame[name])
            checked = len(data) > 0 and data.dtype != object
            options = {"fletcher32": True, "chunks": (min(len(data), CHUNK),)} if checked else {}
            dtype = h5py.string_dtype("utf-8") if data.dtype == object else data.dtype
            variable = file.create_dataset(str(name), data=data, shape=(len(data),), dtype=dtype, **options)
            if coordinates and name not in labels:
                facts["coordinates"] = coordinates
            variable.attrs.update({"units": "1", **described.get(str(name), {}), **facts})
            variable.dims[0].attach_scale(row)
    return buffer.getvalue()


def _variable(column: pd.Series) -> tuple[np.ndarray, dict[str, Any]]:
    if pd.api.types.is_integer_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        numbers = column.astype("Int64").fillna(MISSING).to_numpy(dtype=np.int64)
        return numbers, {"_FillValue": np.int64(MISSING)} if column.isna().any() else {}
    if pd.api.types.is_float_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64), {}
    texts = column.astype(object).where(column.notna(), "").to_numpy()
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{column.name} holds no text and no numbers")
    return texts, {}
