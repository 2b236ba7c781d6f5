"""Data in memory: inputs and targets as NumPy arrays, and their fingerprint."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.stored import by_name
from scalecurv.samples.nested import Nested


@dataclass(frozen=True)
class Data:
    """Inputs x and targets y of N samples, of the `available` ones of the source: arrays (N, ...), or Nesteds of some.

    Example:
        >>> data = Data(np.zeros((3, 2)), np.arange(3), 10)
        >>> len(data), data.width, data.available
        (3, (2,), 10)
    """

    x: np.ndarray | Nested
    y: np.ndarray | Nested
    available: int

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the arrays by name."""
        return fingerprint_of_arrays(**by_name(self.x, self.y))

    @property
    def width(self) -> tuple[int, ...] | None:
        """The shape of one sample's inputs; None where they are several arrays."""
        return None if isinstance(self.x, Nested) else self.x.shape[1:]

    def samples(self) -> Any:
        """Return what a Problem is given."""
        return self.x, self.y

    def quantities(self) -> Any:
        """Return the samples for a model that takes x as quantities: one array of floats, with one row per sample."""
        plain = self.x.ndim > 1 and self.x.dtype.kind == "f"  # type: ignore[union-attr]
        return (self.x if plain else _Quantities(self.x)), self.y  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Quantities:
    """An array whose rows are floats: whole numbers become float64, and a number per sample becomes a row.

    Rows are converted when they are indexed, so a rank converts only its own rows.
    """

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape if self.array.ndim > 1 else (len(self.array), 1)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice) -> np.ndarray:
        some = self.array[rows].reshape(-1, *self.shape[1:])
        return some if some.dtype.kind == "f" else some.astype(np.float64)
