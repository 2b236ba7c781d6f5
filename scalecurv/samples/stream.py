"""Samples that are read in passes over a loader, a data set, a list or a generator."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import Misuse, is_memory, kind_and_line
from scalecurv.samples.arrays import form, num_bytes, stacked
from scalecurv.samples.nested import leaves_of
from scalecurv.samples.pairs import Pair, is_one_number, pair_of

T = TypeVar("T")
CHUNK = 1 << 24  # bytes of single samples that are put together to a batch
READ_TWICE = 2  # batches, to see whether their order is fixed
FETCHED_TWICE = 8  # samples: a random flip leaves each unchanged in half of the cases


@dataclass(frozen=True)
class Stream:
    """Samples in passes: `start()` begins one and yields batches, or single samples where `single` is True.

    Where `single` is None, the first item decides: it is a sample if its target is one number, else a batch. `name`
    names the source in errors. `again` is False where only one pass can be read, as of a generator. `dataset` is the
    data set of a loader, where it is indexed by numbers; `plain` is True where batches are its samples, stacked.

    Example:
        >>> batches = [(torch.zeros(2, 3), torch.zeros(2)), (torch.ones(1, 3), torch.ones(1))]
        >>> [len(pair) for pair in Stream("list", lambda: iter(batches)).read()]
        [2, 1]
    """

    name: str
    start: Callable[[], Iterator[Any]]
    single: bool | None = None
    again: bool = True
    dataset: Any = None
    plain: bool = False

    def read(self, exact: bool = False) -> Iterator[Pair]:
        """Yield the samples of one pass as batches of tensors, in order; whole numbers are int64 unless `exact`.

        Raises Misuse where the source raises, has no samples, or holds batches that cannot be joined.
        """
        waiting: list[Pair] = []
        for pair, single in self._pairs(exact):
            if not single:
                yield pair
                continue
            waiting.append(pair)
            if len(waiting) * (num_bytes(pair.x) + num_bytes(pair.y)) >= CHUNK:
                yield _batch(waiting)
                waiting = []
        if waiting:
            yield _batch(waiting)

    def _pairs(self, exact: bool) -> Iterator[tuple[Pair, bool]]:
        """Yield (pair of tensors, True for a single sample) for each item; raise Misuse where two differ in form."""
        common, single = None, self.single
        for number, held in enumerate(self._parts()):
            what = self._named(number, single)
            pair = pair_of(held, what, f" of {what}")
            if single is None:
                single = is_one_number(pair.y)
                what = self._named(number, single)
            pair = pair.tensors(f" of {what}", exact)
            if not single:
                pair.rows(f" of {what}")
            forms = {"x": form(pair.x, not single), "y": form(pair.y, not single)}
            common = common or forms
            _refuse_other(forms, common, what, self._named(0, single))
            yield pair, single
        if common is None:
            raise Misuse(f"the {self.name} has no samples; give one that has some, and that was not read before")

    def _parts(self) -> Iterator[Any]:
        """Yield whatever the source yields in one pass; turn what it raises into Misuse."""
        state = torch.get_rng_state()  # a loader draws a seed for its workers, even where nothing is random
        run = fetched(f"the {self.name}", lambda: iter(self.start()))
        torch.set_rng_state(state)
        end, number = object(), 0
        while (held := fetched(self._named(number, self.single), lambda: next(run, end))) is not end:
            yield held
            number += 1

    def _named(self, number: int, single: bool | None) -> str:
        kind = {True: "sample", False: "batch", None: "part"}[single]
        return f"{kind} {number} of the {self.name}"

    def _refuse_redrawn(self) -> None:
        """Raise Misuse where samples of the data set differ when they are fetched again, or are no arrays."""
        if self.dataset is None:
            return
        count = fetched(f"the length of the {self.name}", lambda: len(self.dataset))
        for number in range(min(FETCHED_TWICE, count)):
            what = f"sample {number} of the {self.name}"
            once, again = (fetched(what, partial(self.dataset.__getitem__, number)) for _ in range(2))
            if list(_bytes(once)) != list(_bytes(again)):
                raise Misuse(
                    f"{what} differs when it is fetched again, as by random augmentation, and so would the loss; give "
                    f"the data set without its random transforms"
                )
            if self.plain:
                pair_of(once, what, f" of {what}")

    def refuse_random(self) -> None:
        """Raise Misuse where the first samples differ when they are read again: drawn anew, or shuffled."""
        if not self.again:
            return
        self._refuse_redrawn()
        first, second = ([checksum(pair) for pair in islice(self.read(), READ_TWICE)] for _ in range(2))
        if first == second:
            return
        if self.dataset is not None:
            raise Misuse(f"the {self.name} shuffles: its first batches differ when it is read again; {FIXED}")
        raise Misuse(
            f"the first batches of the {self.name} differ when it is read again: it shuffles, or draws at random "
            f"(augmentation); give samples in a fixed order, without random transforms"
        )


FIXED = "give DataLoader(..., shuffle=False)"


def fetched(what: str, fetch: Callable[[], T]) -> T:
    """Return fetch(), which runs code of the user's own; raise Misuse with the line of whatever it raises."""
    try:
        return fetch()
    except Misuse:
        raise
    except Exception as error:  # user code may raise anything, and its message is what helps
        if is_memory(error):  # no fault of the code: the attempt is repeated
            raise
        raise Misuse(f"{what} raised {kind_and_line(error)}") from error


def _bytes(sample: Any) -> Iterator[bytes]:
    """Yield the bytes of all numbers, texts and images in a sample of any form."""
    if isinstance(sample, Mapping):
        sample = [*sample.values()]
    if isinstance(sample, tuple | list):
        for part in sample:
            yield from _bytes(part)
    elif isinstance(sample, Tensor):
        yield _raw(sample).tobytes()
    elif hasattr(sample, "tobytes"):  # an array, or an image of PIL
        yield sample.tobytes()
    elif isinstance(sample, str | bytes | int | float):
        yield repr(sample).encode()


def _raw(leaf: Tensor) -> np.ndarray:
    return leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _batch(samples: list[Pair]) -> Pair:
    return Pair(stacked([pair.x for pair in samples]), stacked([pair.y for pair in samples]))


def checksum(pair: Pair) -> int:
    """Return a checksum of the bytes of all arrays of a pair of tensors, in their order (CRC-32)."""
    total = 0
    for leaf in (*leaves_of(pair.x), *leaves_of(pair.y)):
        total = zlib.crc32(_raw(leaf).data, total)
    return total


def _refuse_other(found: dict[str, Any], common: dict[str, Any], what: str, first: str) -> None:
    """Raise Misuse where the parts, shapes or kinds of numbers of two batches, or samples, differ."""
    for name in found:
        if found[name] == common[name]:
            continue
        here, there = (
            ", ".join(f"{name}{place} {kind} {shape}" for place, shape, kind in forms[name])
            for forms in (found, common)
        )
        raise Misuse(
            f"{what} holds {here} a sample, and {first} {there}; give all one form: pad them to one width, or cut them "
            f"to it (collate_fn of a DataLoader; padding='max_length' of a tokenizer)"
        )
