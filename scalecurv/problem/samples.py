"""The samples of a problem: they come in any form, are checked, and each rank keeps its part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion, Loss
from scalecurv.problem.readiness import check_finite, check_parts
from scalecurv.problem.shard import Shard
from scalecurv.samples.arrays import num_bytes
from scalecurv.samples.forms import opened
from scalecurv.samples.joined import copied, joined
from scalecurv.samples.mapped import Mapped, cut, stays_mapped
from scalecurv.samples.nested import Inputs, Nested, mapped, shape_of
from scalecurv.samples.pairs import Pair
from scalecurv.samples.rows import Held, Rows
from scalecurv.samples.stream import Stream, checksum
from scalecurv.samples.streamed import Streamed

SAMPLE_SIZE = 4  # samples on which the model is tried


@dataclass(frozen=True)
class Samples:
    """This rank's samples, and the first samples of the data set, on every rank.

    `loss` fits the outputs and targets. `num_data` counts the samples of all ranks, `weight` is the sum of their
    weights, and `most` counts those of the rank that holds most of them.
    """

    rows: Rows
    sample: Inputs
    sample_targets: Inputs
    loss: Loss
    num_data: int
    weight: float
    most: int


class _Survey:
    """The first look at samples: loss and model are tried on the first of them, and all are checked and weighed."""

    loss: Loss
    sample: Inputs
    sample_targets: Inputs

    def __init__(
        self,
        criterion: Criterion,
        cast: Callable[[Tensor, bool], Tensor],
        shape_of_outputs: Callable[[Inputs, Any], tuple[int, ...]],
    ):
        self.criterion, self.cast, self.shape_of_outputs = criterion, cast, shape_of_outputs
        self.weight = 0.0

    def begin(self, first: Pair, shape: Any) -> None:
        """Find the loss for the first samples, of a data set of this shape; raise Misuse where they do not fit."""
        _check(first, 0)
        self.sample = mapped(lambda leaf: self.cast(leaf, False), first.x[:SAMPLE_SIZE])
        self.loss = self.criterion.on(self.shape_of_outputs(self.sample, shape), first.y)
        if isinstance(first.y, Nested) and not self.loss.foreign:
            raise Misuse(
                f"y comes as several parts, {first.y!r}, and loss {self.loss.name} takes one array; give a function "
                f"(f, y) -> (B,) as the loss, or one of them as y"
            )
        self.sample_targets = self.prepare(first).y[:SAMPLE_SIZE]

    def prepare(self, pair: Pair) -> Pair:
        """Return inputs and the loss's targets on the problem's device, in its dtype."""
        return self._cast(pair.x, self.loss.targets(pair.y))

    def _cast(self, x: Inputs, targets: Inputs) -> Pair:
        floats = self.loss.float_targets
        return Pair(
            mapped(lambda leaf: self.cast(leaf, False), x), mapped(lambda leaf: self.cast(leaf, floats), targets)
        )

    def add(self, pair: Pair, start: int) -> Pair:
        """Return the prepared samples after they are checked and weighed; `start` is the number of the first."""
        _check(pair, start)
        targets = self.loss.targets(pair.y)
        self.weight += float(self.loss.weights(targets).double().sum())
        return self._cast(pair.x, targets)

    def found(self, rows: Rows, parts: list[slice]) -> Samples:
        """Return the samples of this rank; raise Misuse where no sample counts."""
        if not self.weight:
            raise Misuse(f"no target counts for loss {self.criterion.name}: all are ignored; give some that are not")
        most = max(part.stop - part.start for part in parts)
        return Samples(rows, self.sample, self.sample_targets, self.loss, parts[-1].stop, self.weight, most)


def _check(pair: Pair, start: int) -> None:
    """Raise Misuse for NaN, and for an infinity where x or y is one array: a part of several may be a mask."""
    for name, part in (("x", pair.x), ("y", pair.y)):
        if isinstance(part, Nested):
            check_parts(name, part, start)
        else:
            check_finite({name: part}, start)


def take_samples(
    data: Any,
    criterion: Criterion,
    shard: Shard,
    cast: Callable[[Tensor, bool], Tensor],
    shape_of_outputs: Callable[[Inputs, Any], tuple[int, ...]],
    memory: int,
) -> Samples:
    """Return this rank's samples; raise Misuse where the data is in no form that is known, or fits no model and loss.

    Every rank looks at the samples of all ranks, a shard or a batch at a time: if one rank raises, all do.
    `cast(tensor, floats)` brings a tensor to the problem's device and dtype, integers only where `floats` says that
    they are quantities; `shape_of_outputs(sample, shape)` returns the shape of the outputs for one sample, from the
    first samples and the shape of x. Samples that come in passes are held where they fit into `memory` bytes, and else
    are read again for every sum over them.
    """
    survey = _Survey(criterion, cast, shape_of_outputs)
    found = opened(data)
    return _read(found, survey, shard, memory) if isinstance(found, Stream) else _held(found, survey, shard, memory)


def _held(pair: Pair, survey: _Survey, shard: Shard, memory: int) -> Samples:
    """Return the samples of arrays that are held, of which each rank converts its own rows.

    Large arrays on a memory map stay there.
    """
    parts = shard.parts(pair.rows())
    if stays_mapped(pair):
        for some, start in cut(pair):
            ready = some.tensors()
            if not start:
                survey.begin(ready, shape_of(pair.x))
            survey.add(ready, start)
        mine = parts[shard.rank]
        return survey.found(Mapped(pair[mine], survey.prepare, mine.start, memory), parts)
    for rank, rows in enumerate(parts):
        some = pair[rows].tensors()
        if rank == 0:
            survey.begin(some, shape_of(pair.x))
        ready = survey.add(some, rows.start)
        if rank == shard.rank:
            own = Held(ready.x, ready.y, rows.start)
    return survey.found(own, parts)


def _read(stream: Stream, survey: _Survey, shard: Shard, memory: int) -> Samples:
    """Return the samples of a stream after one pass over all of it, held in that pass where they are all this rank's.

    With several ranks each reads once more, and holds its own samples where they fit into the memory.
    """
    stream.refuse_random()
    sums: list[int] = []
    kept: list[Pair] | None = [] if shard.size == 1 or not stream.again else None
    num_data = size = 0
    for pair in _begun(survey, stream.read()):
        ready = survey.add(pair, num_data)
        sums.append(checksum(pair))
        num_data += len(pair)
        size += num_bytes(ready.x) + num_bytes(ready.y)
        if kept is not None and size > memory:
            kept = None
            if not stream.again:
                raise Misuse(
                    f"the {stream.name} can be read only once, and its samples take more than memory={memory:,} bytes: "
                    f"give what can be read again for each product (a DataLoader, a Dataset, a list), or more memory"
                )
        if kept is not None:
            kept.append(copied(ready))
    parts = shard.parts(num_data)
    own = parts[shard.rank]
    rows = Streamed(stream, tuple(sums), survey.prepare, own.start, own.stop, size)
    if kept is not None:
        whole = joined(kept)
        whole = whole if shard.size == 1 else copied(whole[own.start : own.stop])
    elif size * len(rows) <= memory * num_data:
        whole = joined([copied(Pair(batch.x, batch.y)) for batch in rows.pieces(-(-num_data // len(sums)))])
    else:
        return survey.found(rows, parts)
    return survey.found(Held(whole.x, whole.y, own.start), parts)


def _begun(survey: _Survey, run: Iterator[Pair]) -> Iterator[Pair]:
    """Yield the batches of `run` after the survey has begun on the first of them, as many as hold a few samples."""
    head: list[Pair] = []
    for pair in run:
        head.append(copied(pair))
        if sum(map(len, head)) >= SAMPLE_SIZE:
            break
    first = joined(list(head))
    survey.begin(first, shape_of(first.x))
    yield from head
    yield from run
