"""Data that does not fit into memory: user code makes it again in every process, and every pass reads it anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scalecurv.data.fingerprint import fingerprint_of_batches
from scalecurv.data.stored import by_name
from scalecurv.data.survey import Survey, arrays_of
from scalecurv.errors import Misuse
from scalecurv.samples.forms import opened
from scalecurv.samples.pairs import Pair
from scalecurv.samples.stream import Stream
from scalecurv.user_code import call


def opened_code(code: str, split: str | None) -> Pair | Stream:
    """Return the samples that user code pkg.mod:factory makes, called with the split where one is given.

    Raises Misuse, in which its name stands, where it makes none.
    """
    found = call("--data", code, "factory", *([] if split is None else [split]))
    with naming(code):
        return opened(found)


@contextmanager
def naming(code: str) -> Iterator[None]:
    """Put the option and the name of the user code before the message of a Misuse."""
    option = f"--data {code}"
    try:
        yield
    except Misuse as error:
        message = str(error)
        raise Misuse(message if message.startswith(option) else f"{option}: {message}") from error


@dataclass(frozen=True)
class Reread:
    """Samples of user code that are read anew in every pass, in every process: `available` of them, never held.

    `width` is the shape of one sample's inputs, None where they are several arrays.
    """

    code: str
    split: str | None
    available: int
    width: tuple[int, ...] | None
    fingerprint: str

    @classmethod
    def of(cls, code: str, split: str | None, stream: Stream, survey: Survey) -> "Reread":
        """Return the samples of a stream that `survey` was taken of; their fingerprint takes a pass for each array."""
        found = cls(code, split, survey.count, survey.width, fingerprint_of(stream, survey))
        _opened.clear()
        _opened[found] = stream
        return found

    def __len__(self) -> int:
        return self.available

    def samples(self) -> Stream:
        """Return what a Problem is given; raise Misuse where the user code makes other samples than it did before."""
        if self not in _opened:
            found = opened_code(self.code, self.split)
            if not isinstance(found, Stream) or not self._same(found):
                raise Misuse(
                    f"--data {self.code} makes other samples than it did before the first checkpoint; it must make the "
                    f"same in every process, in the same order"
                )
            _opened.clear()
            _opened[self] = found
        return _opened[self]

    def _same(self, stream: Stream) -> bool:
        with naming(self.code):
            survey = Survey.of(self.code, stream, 0)
            return survey.count == self.available and fingerprint_of(stream, survey) == self.fingerprint

    def quantities(self) -> Stream:
        """Return what a Problem is given where the model takes x, one array, as quantities, one row a sample."""
        stream = self.samples()
        return replace(stream, start=lambda: _rows(stream), single=False, dataset=None)


_opened: dict[Reread, Stream] = {}  # of this process: the one that was opened last


def _rows(stream: Stream) -> Iterator[tuple[Tensor, Any]]:
    for pair in stream.read():
        x = pair.x if pair.x.ndim > 1 else pair.x[:, None]
        yield x if x.is_floating_point() else x.to(torch.float64), pair.y


def fingerprint_of(stream: Stream, survey: Survey) -> str:
    """Return the fingerprint of the arrays that all batches make together, as if they were held."""

    def batches(name: str) -> Iterator[Any]:
        for pair in stream.read(exact=True):
            yield by_name(*arrays_of(pair))[name].astype(survey.dtypes[name], copy=False)

    return fingerprint_of_batches(survey.shapes, batches)
