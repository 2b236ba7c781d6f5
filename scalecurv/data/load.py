"""Loading the data, inputs x and targets y, from a file, a directory of files, or user code."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scalecurv.data.checks import check_finite
from scalecurv.data.dataset import made
from scalecurv.data.file import KINDS, read_files
from scalecurv.data.held import Data
from scalecurv.data.reread import Reread
from scalecurv.data.shards import shards_of
from scalecurv.data.stored import Rows, by_name
from scalecurv.display import shown
from scalecurv.errors import Misuse
from scalecurv.linalg.probes import generator
from scalecurv.machine import allowed
from scalecurv.quantities import SEED
from scalecurv.samples.nested import mapped
from scalecurv.user_code import names_code

BLOCK = 1 << 22  # keys that are drawn at a time


def load_data(
    source: Path | str,
    split: str | None = None,
    max_samples: int | None = None,
    seed: int = SEED,
    memory: int | None = None,
) -> Data | Reread:
    """Return the data of a path or of user code pkg.mod:factory, or of one split of it.

    Where there are more than `max_samples`, `seed` draws them: the same from every format, in the order of the source.
    Arrays of files above `stored.LARGE` bytes may be maps of the file (see `Stored.mapped` for the risk). Batches that
    user code makes are read anew in every pass where they take more than `memory` bytes. Raises Misuse, with a message
    of one line, where there are no data.
    """
    choose, memory = partial(chosen, wanted=max_samples, seed=seed), allowed(memory)
    if names_code(str(source)):
        found = made(str(source), split, choose, memory)
        if isinstance(found, Reread):
            return found
    else:
        path = Path(source)
        if not path.exists():
            raise Misuse(f"--data {path} does not exist; give a file with arrays x and y ({KINDS})")
        found = Data(*read_files(*(shards_of(path, split) if path.is_dir() else ([path], split)), choose))
    native = iter([_native(source, name, array, memory) for name, array in by_name(found.x, found.y).items()])
    x, y = (mapped(lambda _: next(native), part) for part in (found.x, found.y))
    check_finite(source, x, y)
    return Data(x, y, found.available)


def _native(source: object, name: str, array: Any, memory: int) -> np.ndarray:
    """Return the array as torch reads it, in C order and this machine's byte order; it is copied only if needed.

    Raises Misuse where there is no room for the copy, or where more than `memory` bytes repeat what is stored once.
    """
    told = f"--data {source}: {shown(name)}, {array.dtype} {array.shape}, takes {array.nbytes:,} bytes"
    if 0 in array.strides and array.nbytes > memory:
        raise Misuse(
            f"{told}, as it repeats numbers that are stored once, and --memory is {memory:,}; give --max-samples N, or "
            f"--memory {array.nbytes}"
        )
    try:
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    except MemoryError as error:
        raise Misuse(f"{told}, more than this machine has free; give --max-samples N") from error


def chosen(available: int, wanted: int | None, seed: int) -> Rows:
    """Return ascending numbers of `wanted` samples drawn without replacement, None for all where there are no more.

    Every sample has a random 64-bit key, and the samples with the least keys are chosen, so that a larger `wanted` adds
    samples to those of a smaller one. The keys are the raw output of the generator, equal in every version of NumPy.
    """
    if wanted is None or wanted >= available:
        return None
    bits = generator(seed, "samples", 0).bit_generator
    keys, rows = np.empty(0, np.uint64), np.empty(0, np.intp)
    for start in range(0, available, BLOCK):
        drawn = bits.random_raw(min(BLOCK, available - start))
        least = np.arange(len(drawn)) if len(keys) < wanted else np.flatnonzero(drawn < keys.max(initial=0))
        keys, rows = np.append(keys, drawn[least]), np.append(rows, start + least)
        if len(keys) > wanted:
            kept = np.argpartition(keys, wanted)[:wanted]
            keys, rows = keys[kept], rows[kept]
    return np.sort(rows)
