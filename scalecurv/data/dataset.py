"""Data from user code: torch Datasets, iterables of items, or pairs of arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from scalecurv.data.checks import check_form
from scalecurv.data.stored import Rows
from scalecurv.errors import Misuse, kind_and_line
from scalecurv.user_code import call

Pair = tuple[np.ndarray, np.ndarray]


def pair_of(source: str, what: str, item: Any) -> Pair:
    """Return x and y of an item (x, y) of tensors, arrays or numbers; raises Misuse, in which `what` names the item."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        held = f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
        raise Misuse(f"{source}: {what} is a {held}; give (x, y), tensors, arrays or numbers")
    return _array(source, f"x of {what}", item[0]), _array(source, f"y of {what}", item[1])


def same_kind(source: str, what: str, pair: Pair, other: str, first: Pair) -> None:
    """Raise Misuse where x or y of two items differ in shape or dtype, for they cannot be stacked."""
    for name, array, wanted in zip("xy", pair, first, strict=True):
        if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
            raise Misuse(
                f"{source}: {name} of {what} is {array.dtype} {array.shape}, of {other} {wanted.dtype} {wanted.shape}; "
                f"give all items one shape and dtype"
            )


def _array(source: str, what: str, value: Any) -> np.ndarray:
    if any(kind.__module__.startswith("PIL.") for kind in type(value).__mro__):
        raise Misuse(f"{source}: {what} is an image of PIL; convert it, for example by numpy.asarray(image)")
    if isinstance(value, Tensor):
        try:
            return value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # NumPy has no bfloat16, sparse or quantized arrays
            raise Misuse(f"{source}: {what} is no array ({error}); give float32, or whole numbers") from error
    if isinstance(value, np.ndarray | np.generic | bool | int | float):
        return np.asarray(value)
    raise Misuse(f"{source}: {what} is a {type(value).__name__}; give a tensor, an array or a number")


T = TypeVar("T")
FETCHED_TWICE = 8  # items: several, as a random flip leaves one item unchanged half of the time


def made(code: str, split: str | None, choose: Callable[[int], Rows]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return x, y and the number of samples available, from user code pkg.mod:factory; raises Misuse.

    The factory is called with the split where one is given. Of a dataset with a length only the chosen items are
    fetched; an iterable is read whole before any are chosen.
    """
    source = f"--data {code}"
    found = call("--data", code, "factory", *([] if split is None else [split]))
    if isinstance(found, DataLoader):
        raise Misuse(f"{source} returned a DataLoader, which makes batches; return its dataset")
    if _is_map(found):
        available = _fetch(source, "its length", lambda: len(found))
        rows = choose(available)
        x, y = _fetched(source, found, range(available) if rows is None else rows.tolist())
        check_form(code, x, y)
        return x, y, available
    if isinstance(found, tuple | list):
        x, y = pair_of(source, "what it returned", found)
    elif isinstance(found, Iterable) and not isinstance(found, dict | str):
        x, y = _streamed(source, found)
    else:
        raise Misuse(f"{source} returned a {type(found).__name__}; return a torch Dataset, or arrays (x, y)")
    check_form(code, x, y)
    rows = choose(len(x))
    return (x, y, len(x)) if rows is None else (x[rows], y[rows], len(x))


def _is_map(found: Any) -> bool:
    no_dataset = isinstance(found, IterableDataset | tuple | list | dict | str)
    return hasattr(found, "__getitem__") and hasattr(found, "__len__") and not no_dataset


def _fetched(source: str, dataset: Any, numbers: Sequence[int]) -> Pair:
    """Return the items of these numbers as arrays, copied one by one, so that few items are in memory beside them."""
    if not numbers:
        raise Misuse(f"{source} returned a dataset without items; return one that has some")
    first = _numbered(source, dataset, numbers[0])
    x, y = (np.empty((len(numbers), *array.shape), array.dtype) for array in first)
    for row, i in enumerate(numbers):
        pair = _numbered(source, dataset, i) if row else first
        same_kind(source, f"item {i}", pair, f"item {numbers[0]}", first)
        if row < FETCHED_TWICE:
            _same_again(source, i, pair, _numbered(source, dataset, i))
        x[row], y[row] = pair
    return x, y


def _numbered(source: str, dataset: Any, i: int) -> Pair:
    return pair_of(source, f"item {i}", _fetch(source, f"item {i}", lambda: dataset[i]))


def _streamed(source: str, stream: Iterable[Any]) -> Pair:
    pairs = list(_pairs(source, iter(stream)))
    if not pairs:
        raise Misuse(f"{source} returned an iterable without items; return one that has some")
    for i, pair in enumerate(_pairs(source, islice(iter(stream), FETCHED_TWICE))):  # none if it can be read only once
        _same_again(source, i, pairs[i], pair)
    for i, pair in enumerate(pairs):
        same_kind(source, f"item {i}", pair, "item 0", pairs[0])
    return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def _pairs(source: str, run: Iterator[Any]) -> Iterator[Pair]:
    end, i = object(), 0
    while (item := _fetch(source, f"item {i}", lambda: next(run, end))) is not end:
        yield pair_of(source, f"item {i}", item)
        i += 1


def _same_again(source: str, i: int, once: Pair, again: Pair) -> None:
    if any(a.tobytes() != b.tobytes() for a, b in zip(once, again, strict=True)):
        raise Misuse(
            f"{source}: item {i} differs when it is fetched again, as by random augmentation, and so would the loss; "
            f"return the dataset without its random transforms"
        )


def _fetch(source: str, what: str, fetch: Callable[[], T]) -> T:
    try:
        return fetch()
    except MemoryError:  # not a fault of the code: the attempt is repeated
        raise
    except Exception as error:  # user code may raise anything, and its message is what helps
        raise Misuse(f"{source}: {what} raised {kind_and_line(error)}") from error
