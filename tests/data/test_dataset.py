"""Datasets by name: what the user's own code may return, and what is asked of it."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from scalecurv.checkpoints.content import fingerprint_of_arrays
from scalecurv.data.load import load_data
from scalecurv.errors import Misuse

X = np.linspace(-1, 1, 120, dtype=np.float32).reshape(40, 3)
Y = np.arange(40) % 3
ROWS = [5, 7, 8, 15, 28, 36, 37]  # what seed 10 draws, seven of forty
ITEMS = [(torch.from_numpy(x), int(y)) for x, y in zip(X, Y, strict=True)]


class Listed(Dataset[Any]):
    """The items of a list, by number; which numbers were asked for is kept."""

    def __init__(self, items: Any = ITEMS) -> None:
        self.items, self.asked = items, list[int]()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return self.items[i]


class Streamed(IterableDataset[Any]):
    """The same, one after the other; that it has a length makes no list of it."""

    def __init__(self, items: Any = ITEMS) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Drawing(Listed):
    """Its item number `drawn` is flipped, every other time."""

    def __init__(self, drawn: int) -> None:
        super().__init__()
        self.drawn = drawn

    def __getitem__(self, i: int) -> Any:
        x, y = super().__getitem__(i)
        return (-x if i == self.drawn and len(self.asked) % 2 else x), y


class DrawingStream(Streamed):
    def __iter__(self) -> Iterator[Any]:
        self.items = self.items[::-1]
        return super().__iter__()


@pytest.fixture(name="named")
def _named(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    """The name of a module's function."""

    def name(function: Callable[..., Any]) -> str:
        module = ModuleType("users_data")
        module.make = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "users_data", module)
        return "users_data:make"

    return name


def complaint(named: str, split: str | None = None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(named, split)
    return str(caught.value).removeprefix("--data users_data:make")


SOURCES: dict[str, Any] = {
    "dataset": Listed(),
    "iterable": Streamed(),
    "tensors": TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    "pair": (X, torch.from_numpy(Y).requires_grad_(False)),
    "list": [torch.nn.Parameter(torch.from_numpy(X)), Y],
    "foreign": (X.astype(">f4"), np.asfortranarray(Y.astype(">i8"))),
    "arrays": Listed([(x, y) for x, y in zip(X, Y, strict=True)]),
}


def test_equal_content_has_equal_fingerprints(named: Any) -> None:
    for source in SOURCES:
        for wanted, rows in ((None, slice(None)), (7, ROWS)):
            data = load_data(named(lambda source=source: SOURCES[source]), None, wanted, seed=10)
            assert data.available == 40
            assert fingerprint_of_arrays(x=data.x, y=data.y) == fingerprint_of_arrays(x=X[rows], y=Y[rows])


def test_a_generator_is_taken_once(named: Any) -> None:
    data = load_data(named(lambda: (item for item in ITEMS)), None, 7, seed=10)
    np.testing.assert_array_equal(data.x, X[ROWS])


def test_only_chosen_items_are_fetched(named: Any) -> None:
    dataset = Listed()
    load_data(named(lambda: dataset), None, 7, seed=10)
    assert sorted(set(dataset.asked)) == ROWS


def test_the_split_is_the_one_argument(named: Any) -> None:
    halves = {"train": slice(0, 30), "test": slice(30, 40)}
    data = load_data(named(lambda split: (X[halves[split]], Y[halves[split]])), "test")
    np.testing.assert_array_equal(data.x, X[30:])
    name = named(lambda split: (X[halves[split]], Y[halves[split]]))
    assert complaint(name, "val") == " raised KeyError: 'val'; it must work with ('val')"
    assert "missing 1 required positional argument: 'split'; it must work without arguments" in complaint(name)


@pytest.mark.parametrize(
    ("target", "dtype"), [(1, "i8"), (1.0, "f8"), (True, "?"), (np.float32(1), "f4"), (torch.tensor(1.0), "f4")]
)
def test_targets_that_are_numbers(named: Any, target: Any, dtype: str) -> None:
    data = load_data(named(lambda: Listed([(X[i], target) for i in range(3)])))
    assert data.y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(data.y, [1, 1, 1])


@pytest.mark.parametrize("drawing", [Drawing(5), Drawing(28), DrawingStream()])
def test_a_dataset_that_draws_is_refused(named: Any, drawing: Any) -> None:
    with pytest.raises(Misuse) as caught:
        load_data(named(lambda: drawing), None, 7, seed=10)
    item = getattr(drawing, "drawn", 0)
    assert str(caught.value) == (
        f"--data users_data:make: item {item} differs when it is fetched again, as by random augmentation, and so "
        "would the loss; return the dataset without its random transforms"
    )


class Failing(Listed):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __getitem__(self, i: int) -> Any:
        raise self.error


KIND = "give all items one shape and dtype"
BAD: dict[str, tuple[Any, str]] = {
    "loader": (DataLoader(Listed()), " returned a DataLoader, which makes batches; return its dataset"),
    "number": (3, " returned a int; return a torch Dataset, or arrays (x, y)"),
    "dict": ({"x": X, "y": Y}, " returned a dict; return a torch Dataset, or arrays (x, y)"),
    "three": ((X, Y, Y), ": what it returned is a tuple of 3; give (x, y), tensors, arrays or numbers"),
    "sets": ((Listed(), Listed()), ": x of what it returned is a Listed; give a tensor, an array or a number"),
    "no items": (Listed([]), " returned a dataset without items; return one that has some"),
    "no stream": (Streamed([]), " returned an iterable without items; return one that has some"),
    "dicts": (Listed([{"x": 1}]), ": item 0 is a dict; give (x, y), tensors, arrays or numbers"),
    "lone": (Streamed([X[0]]), ": item 0 is a ndarray; give (x, y), tensors, arrays or numbers"),
    "words": (Listed([(X[0], "cat")]), ": y of item 0 is a str; give a tensor, an array or a number"),
    "image": (
        Listed([(Image.new("L", (2, 2)), 1)]),
        ": x of item 0 is an image of PIL; convert it, for example by numpy.asarray(image)",
    ),
    "half": (
        Listed([(torch.ones(2).bfloat16(), 1)]),
        ": x of item 0 is no array (Got unsupported ScalarType BFloat16); give float32, or whole numbers",
    ),
    "shapes": (
        Listed([(X[0], 1), (X[1, :2], 1)]),
        f": x of item 1 is float32 (2,), of item 0 float32 (3,); {KIND}",
    ),
    "kinds": (Streamed([(X[0], 1), (X[1], 1.0)]), f": y of item 1 is float64 (), of item 0 int64 (); {KIND}"),
    "failing": (Failing(OSError("no file")), ": item 0 raised OSError: no file"),
    "failing stream": (map(Failing(OSError("no file")).__getitem__, [7]), ": item 0 raised OSError: no file"),
    "flat": (
        Listed([(1.0, 1)]),
        ": x has shape (1,) and y has shape (1,); give one target a sample, x (N, ...) and y (N,) or (N, D)",
    ),
    "lengths": (
        (X, Y[:3]),
        ": x has shape (40, 3) and y has shape (3,); give one target a sample, x (N, ...) and y (N,) or (N, D)",
    ),
    "not finite": ((np.where(X < 0, np.inf, X), Y), ": x holds 60 NaN or infinite value(s)"),
}


def test_what_is_no_data(named: Any) -> None:
    for returned, message in BAD.values():
        assert complaint(named(lambda returned=returned: returned)) == message


def test_running_out_of_memory_says_nothing_of_the_code(named: Any) -> None:
    with pytest.raises(MemoryError):
        load_data(named(lambda: Failing(MemoryError())))
