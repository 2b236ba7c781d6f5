"""One file of data: x and y as they are stored, whatever its format."""

import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from scalecurv.data.hdf5 import hdf5_arrays
from scalecurv.data.npz import npz_arrays
from scalecurv.data.parquet import parquet_arrays
from scalecurv.data.splits import names_of
from scalecurv.data.stored import Stored
from scalecurv.data.tensors import safetensors_arrays, torch_arrays
from scalecurv.errors import Misuse

READERS = {
    ".npz": npz_arrays,
    ".pt": torch_arrays,
    ".safetensors": safetensors_arrays,
    ".h5": hdf5_arrays,
    ".parquet": parquet_arrays,
}
_UNREADABLE = (
    OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AssertionError, zipfile.BadZipFile,
    zlib.error, struct.error, SafetensorError,
)  # fmt: skip


@contextmanager
def opened(path: Path, split: str | None) -> Iterator[tuple[Stored, Stored]]:
    """x and y of the file, or of one of its splits, to be taken while it is open; raises Misuse, in one line."""
    if path.suffix not in READERS:
        raise Misuse(f"--data {path} is of no known kind; give {', '.join(READERS)} with arrays x and y")
    try:
        with READERS[path.suffix](path) as arrays:
            x, y = names_of(path, arrays, split)
            yield arrays[x](), arrays[y]()
    except Misuse:
        raise
    except pickle.UnpicklingError as error:  # torch advises to run what is pickled; it is not repeated
        raise Misuse(
            f"--data {path} holds more than tensors, or is damaged; nothing pickled is ever run: save tensors x and y"
        ) from error
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), repr(error))
        raise Misuse(f"--data {path} cannot be read: {reason}") from error
