"""Random vectors that are functions of (seed, stream, i)."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Kind = Literal["rademacher", "gaussian"]
PIECE = 1 << 20  # numbers drawn at a time, so that their float64 takes little beside a float32 vector


def probes(
    n: int,
    seed: int,
    stream: str,
    ids: Sequence[int],
    kind: Kind = "rademacher",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return a block Z of shape (n, len(ids)) whose column j is random vector number ids[j].

    E[z z'] = I. Vector i is drawn by its own Philox generator (Salmon et al. 2011) on the CPU and cast afterwards, so
    that it is the same on every device, in every block and at every checkpoint. Stored numbers depend on the names of
    streams: a name never changes, even where the module that draws from the stream is renamed.
    """
    draw = _DRAWS[kind]
    columns = np.empty((len(ids), n), dtype=np.float32 if dtype == torch.float32 else np.float64)
    for row, i in zip(columns, ids, strict=True):
        draw(generator(seed, stream, i), row)
    return torch.from_numpy(columns).to(device, dtype).T


def generator(seed: int, stream: str, i: int) -> np.random.Generator:
    """Return the Philox generator (Salmon et al. 2011) of random vector `i`, keyed by (seed, stream, i)."""
    key = hashlib.sha256(f"{seed}/{stream}/{i}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype="<u8")))


def _rademacher(rng: np.random.Generator, row: np.ndarray) -> None:
    row[:] = np.unpackbits(np.frombuffer(rng.bytes((len(row) + 7) // 8), dtype=np.uint8), count=len(row))
    row *= -2.0
    row += 1.0


def _gaussian(rng: np.random.Generator, row: np.ndarray) -> None:
    """Fill a row with numbers that are drawn in float64, in pieces, which follow one another as in one draw."""
    for at in range(0, len(row), PIECE):
        row[at : at + PIECE] = rng.standard_normal(len(row[at : at + PIECE]))


_DRAWS = {"rademacher": _rademacher, "gaussian": _gaussian}
