"""Ways to damage a file, and pickles that would run something: what a disk, a network or a stranger hands over."""

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

BLOCK = 512  # bytes: what a disk writes at once


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one bit, or up to eight."""
    damaged = bytearray(content)
    for place in rng.integers(len(content), size=rng.choice([1, 1, 2, 8])):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def zeroed(content: bytes, rng: np.random.Generator) -> bytes:
    """Put zeros in the place of a block, as if it was never written."""
    begin = int(rng.integers(-(-len(content) // BLOCK))) * BLOCK
    end = min(begin + BLOCK, len(content))
    return content[:begin] + bytes(end - begin) + content[end:]


def with_tail(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 4096)))


def garbage(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace the content by random bytes, except perhaps its first bytes, by which its format is known."""
    kept = int(rng.choice([0, 8, 64]))
    return content[:kept] + rng.bytes(int(rng.integers(1, 8192)))


DAMAGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (truncated, flipped, zeroed, with_tail, garbage)


class Payload:
    """An object that makes a directory when it is unpickled: the proof that a stranger's code ran."""

    def __init__(self, marker: Path):
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


def malicious(tensors: dict[str, torch.Tensor], marker: Path) -> list[bytes]:
    """Return files with the payload in place of, beside and inside the weights, in both formats of torch, and bare."""
    payload = Payload(marker)
    contents = [{"model": payload}, {"model": tensors, "optimizer": payload}, {**tensors, "0.bias": payload}, payload]
    files = []
    for content in contents:
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
            files.append(buffer.getvalue())
    return [*files, *(pickle.dumps(payload, protocol) for protocol in (0, 2, 4))]
