"""Recognition of the form of samples by its structure: pairs, batches, data sets and loaders."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from scalecurv.errors import Misuse
from scalecurv.samples.loaders import stream_of_loader
from scalecurv.samples.nested import is_container
from scalecurv.samples.pairs import Pair, is_target, pair_of, told
from scalecurv.samples.stream import Stream

WANTED = (
    "give (x, y), arrays of one sample a row; or a DataLoader, a Dataset or a list of batches (x, y); or a dict with "
    "the targets as y or labels"
)


def opened(data: Any) -> Pair | Stream:
    """Return a Pair where `data` holds all samples, and a Stream where they are read batch by batch.

    (x, y), ((x1, x2), y), (dict, y) and a dict with the targets under one of the names `pairs.TARGETS` become a Pair.
    Its x and y are the arrays themselves, or Nesteds of several arrays. A DataLoader, a Dataset of either style, and a
    list, an iterable or a generator become a Stream; their items are batches, or samples with one number as the target.
    A list of two pairs is two batches. A tuple of two pairs is refused where it could be batches or one pair. Nothing
    is read here. Raises Misuse for anything else, for a loader that shuffles, and for one that leaves samples out.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(4, 3), torch.zeros(4)
        >>> opened(((x, x), y)).x
        {[0]: (4, 3) float32, [1]: (4, 3) float32}
        >>> opened([(x, y), (x, y)]).name
        'list of 2'
    """
    if isinstance(data, Pair | Stream):
        return data
    if isinstance(data, DataLoader):
        return stream_of_loader(data)
    if isinstance(data, IterableDataset):
        return _iterated(data, single=True)
    if isinstance(data, Mapping):
        return _checked(pair_of(data, "data"))
    if isinstance(data, tuple | list):
        return _of_sequence(data)
    array = hasattr(data, "dtype") and hasattr(data, "shape")
    if isinstance(data, str | PurePath):
        raise Misuse(f"data is {told(data)}; give what the file holds, read by torch.load or numpy.load")
    if isinstance(data, bytes) or (array and not isinstance(data, Dataset)):
        raise Misuse(f"data is {told(data)}; {WANTED}")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return Stream(type(data).__name__, lambda: _items(data), single=True, dataset=data, plain=True)
    if isinstance(data, Iterable):
        return _iterated(data)
    raise Misuse(f"data is {told(data)}; {WANTED}")


def _items(dataset: Any) -> Iterator[Any]:
    return (dataset[i] for i in range(len(dataset)))


def _iterated(data: Any, single: bool | None = None) -> Stream:
    return Stream(type(data).__name__, lambda: iter(data), single, again=not hasattr(data, "__next__"))


def _checked(pair: Pair) -> Pair:
    pair.rows()
    return pair


def _of_sequence(data: tuple[Any, ...] | list[Any]) -> Pair | Stream:
    """Return the samples of a tuple or list: (x, y), or batches (or samples) in order."""
    batches = len(data) > 0 and all(map(_is_batch, data))
    if not batches:
        if len(data) == 2 or _named(data):
            return _checked(pair_of(data, "data"))
        several = ", with several inputs as ((x1, x2), y)" if len(data) > 2 and is_container(data) else ""
        raise Misuse(f"data is {told(data)}; {WANTED}{several}")
    if isinstance(data, tuple) and len(data) == 2 and not any(isinstance(part, Mapping) for part in data):
        as_batches, as_pair = _alike(*data), _one_length(data)
        if as_pair and not as_batches:
            return _checked(pair_of(data, "data"))
        if as_pair:
            raise Misuse(
                "data is a tuple of two pairs of arrays: give a list, [(x1, y1), (x2, y2)], where they are two "
                "batches; give dicts, ({'a': x1, 'b': x2}, {'c': y1, 'd': y2}), where they are two inputs, named as by "
                "forward, and two targets"
            )
    return Stream(f"{type(data).__name__} of {len(data)}", lambda: iter(data))


def _named(data: Any) -> bool:
    return isinstance(data, tuple) and any(is_target(name) for name in getattr(data, "_fields", ()))


def _is_batch(part: Any) -> bool:
    """Return True for a pair of arrays or of other objects than numbers, and for a dict of targets and inputs."""
    if isinstance(part, Mapping):
        return len(part) > 1 and any(map(is_target, part))
    if not isinstance(part, tuple | list):
        return False
    return (len(part) == 2 or _named(part)) and (is_container(part) or not _is_table(part))


def _is_table(part: Any) -> bool:
    """Return True for numbers in rows of one length."""
    try:
        return np.array(part).dtype.kind in "biuf"
    except (TypeError, ValueError):
        return False


def _alike(one: Any, other: Any) -> bool:
    """Return True where two pairs can be two batches: in each, x and y have equal lengths, and both have one form."""
    return all(_rows(x) is None or _rows(x) == _rows(y) or _shape(y) == () for x, y in (one, other)) and all(
        _shape(a)[1:] == _shape(b)[1:] and _is_float(a) == _is_float(b) for a, b in zip(one, other, strict=True)
    )


def _one_length(pairs: Any) -> bool:
    """Return True where all four parts have as many rows."""
    return len({_rows(part) for pair in pairs for part in pair}) == 1 and _shape(pairs[0][1]) != ()


def _shape(part: Any) -> tuple[int, ...]:
    return tuple(np.shape(part)) if not is_container(part) else ()


def _rows(part: Any) -> int | None:
    """Return the number of rows of an array or a container; None for a number."""
    while isinstance(part, Mapping | tuple | list) and is_container(part):
        part = next((held for held in (part.values() if isinstance(part, Mapping) else part) if held is not None), 0)
    shape = tuple(np.shape(part))
    return shape[0] if shape else None


def _is_float(part: Any) -> bool:
    if isinstance(part, Tensor):
        return part.is_floating_point()
    return not is_container(part) and np.asarray(part).dtype.kind == "f"
