"""Arrays in files, whose shape and dtype are known before any of their rows are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LARGE = 1 << 28  # bytes; larger files are mapped into memory instead of read, where their format allows it
Rows = np.ndarray | None  # ascending row numbers, or None for all rows


@dataclass(frozen=True)
class Stored:
    """An array in a file; `take(rows)` reads the chosen rows, or all of them for None."""

    shape: tuple[int, ...]
    dtype: np.dtype
    take: Callable[[Rows], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Stored":
        """Return an array that is in memory already, or mapped into it."""
        return cls(array.shape, array.dtype, lambda rows: array if rows is None else array[rows])

    @classmethod
    def mapped(
        cls, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype, fortran: bool = False
    ) -> "Stored":
        """Return a map of the bytes of `path` from `offset` on, which are read from the disk at their first use.

        A file that is truncated in place under its map kills the process (SIGBUS), which nothing can catch; a file
        that another replaces by a rename is safe. Smaller files are therefore read whole.
        """
        order = "F" if fortran else "C"
        return cls.of(np.asarray(np.memmap(path, dtype, "r", offset, shape, order)))  # type: ignore[call-overload]


Arrays = Mapping[str, Callable[[], Stored]]  # by name in the file, NAME/x in a group; nothing is read before it is used


def is_large(path: Path) -> bool:
    """Return True where the file is mapped rather than read."""
    return path.stat().st_size > LARGE
