"""An array in a file: its shape and dtype are known before any of its rows is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LARGE = 1 << 28  # bytes of a file; larger ones are mapped into memory instead of read, where their format allows
Rows = np.ndarray | None  # ascending row numbers, or None for all rows


@dataclass(frozen=True)
class Stored:
    """`take(rows)` reads the chosen rows, or all of them for None."""

    shape: tuple[int, ...]
    dtype: np.dtype
    take: Callable[[Rows], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Stored":
        """What is in memory already, or mapped into it."""
        return cls(array.shape, array.dtype, lambda rows: array if rows is None else array[rows])

    @classmethod
    def mapped(
        cls, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype, fortran: bool = False
    ) -> "Stored":
        """The bytes of `path` from `offset` on, read from the disk when they are looked at.

        The danger is a file that is truncated in place under its map: the process is killed (SIGBUS), which nothing can
        catch. A file that another one replaces by a rename is safe. This is why smaller files are read whole.
        """
        order = "F" if fortran else "C"
        return cls.of(np.asarray(np.memmap(path, dtype, "r", offset, shape, order)))  # type: ignore[call-overload]


Arrays = Mapping[str, Callable[[], Stored]]  # by name in the file, NAME/x in a group; what is not asked for stays shut


def is_large(path: Path) -> bool:
    """Whether the file is mapped rather than read."""
    return path.stat().st_size > LARGE
