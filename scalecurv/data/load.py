"""The data that the loss is taken over, as NumPy arrays x and y: from a file, a directory of them, or code by name."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scalecurv.data.checks import check_finite
from scalecurv.data.dataset import made
from scalecurv.data.file import READERS, read_files
from scalecurv.data.shards import shards_of
from scalecurv.data.stored import Rows
from scalecurv.errors import Misuse
from scalecurv.linalg.probes import generator
from scalecurv.user_code import is_named


@dataclass(frozen=True)
class Data:
    """x of shape (N, ...) and y of shape (N, ...), of `available` samples that the source has."""

    x: np.ndarray
    y: np.ndarray
    available: int


def load_data(source: Path | str, split: str | None = None, max_samples: int | None = None, seed: int = 0) -> Data:
    """x and y of a path or of pkg.mod:factory, or of one split of it; raises Misuse, in one line, where there are none.

    Of more than `max_samples` those that `seed` draws, the same from every format, in the order of the source. Arrays
    of files above `stored.LARGE` bytes may be maps of the file (see `Stored.mapped` for what that risks).
    """
    choose = partial(chosen, wanted=max_samples, seed=seed)
    if is_named(str(source)):
        x, y, available = made(str(source), split, choose)
    else:
        path = Path(source)
        if not path.exists():
            raise Misuse(f"--data {path} does not exist; give a file with arrays x and y ({', '.join(READERS)})")
        x, y, available = read_files(*(shards_of(path, split) if path.is_dir() else ([path], split)), choose)
    # copied only where it is needed; torch knows this machine's byte order alone
    x, y = (np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for array in (x, y))
    check_finite(source, x, y)
    return Data(x, y, available)


def chosen(available: int, wanted: int | None, seed: int) -> Rows:
    """Ascending numbers of `wanted` samples drawn without replacement, None for all where no fewer are wanted.

    Every sample has a random 64-bit key and those with the least keys are taken: whoever wants more keeps the ones
    that he had. The keys are the raw output of the generator, which is the same in every version of NumPy.
    """
    if wanted is None or wanted >= available:
        return None
    keys = generator(seed, "samples", 0).bit_generator.random_raw(available)
    return np.sort(np.argpartition(keys, wanted)[:wanted])
