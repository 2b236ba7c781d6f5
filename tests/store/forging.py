"""Files of a store as strangers and other releases write them: any HDF5 content under a whole seal."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import h5py
import pandas as pd

from scalecurv.store.frames import Tables
from scalecurv.store.image import encode

OLD = {version: Path(__file__).parent / "old" / f"schema_{version}.h5" for version in (1, 2, 3)}


def sealed(image: bytes) -> bytes:
    return image + b"scalecurv sha256 " + hashlib.sha256(image).hexdigest().encode()


def forged(tables: Tables, edit: Callable[[h5py.File], object]) -> bytes:
    """The bytes of `tables` after `edit`, sealed anew."""
    buffer = io.BytesIO(encode(tables))
    with h5py.File(buffer, "r+") as file:
        edit(file)
    return sealed(buffer.getvalue())


def of_schema(tables: Tables, version: object) -> bytes:
    return forged(tables, lambda file: file.attrs.update(schema_version=version))


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    """Its rows, and its first once more."""
    return pd.concat([frame, frame[:1]], ignore_index=True)


def listing(store: Path) -> dict[str, bytes]:
    """Every file but the lock, with its content."""
    files = (path for path in store.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(store)): path.read_bytes() for path in files}
