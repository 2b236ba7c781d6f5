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

from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.load import load_data
from scalecurv.data.stored import by_name
from scalecurv.errors import Misuse
from scalecurv.samples.nested import Nested

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
    "loader": DataLoader(Listed(), batch_size=7),
    "loader of a stream": DataLoader(Streamed(), batch_size=7),
    "batches": [(X[:13], Y[:13]), (torch.from_numpy(X[13:]), torch.from_numpy(Y[13:]))],
    "dict": {"X": X, "labels": Y},
    "dicts": [{"inputs": X[:13], "targets": Y[:13]}, {"inputs": X[13:], "targets": Y[13:]}],
    "items by name": Listed([{"image": x, "label": y} for x, y in ITEMS]),
}


def test_equal_content_has_equal_fingerprints(named: Any) -> None:
    for source in SOURCES:
        for wanted, rows in ((None, slice(None)), (7, ROWS)):
            data = load_data(named(lambda source=source: SOURCES[source]), None, wanted, seed=10)
            assert data.available == 40
            assert fingerprint_of_arrays(x=data.x, y=data.y) == fingerprint_of_arrays(x=X[rows], y=Y[rows])


PARTS = ({"ids": Y, "mask": Y > 1}, [X, (X * 2, Y)])


def test_inputs_of_several_parts_keep_their_containers(named: Any) -> None:
    for parts in PARTS:
        whole = Nested(parts)
        items = [(whole[i].tree, int(Y[i])) for i in range(40)]
        batches = [(whole[i : i + 9].tree, Y[i : i + 9]) for i in range(0, 40, 9)]
        for source in (Listed(items), batches, (parts, Y), DataLoader(Listed(items), 6)):
            for wanted, rows in ((None, slice(None)), (7, ROWS)):
                data = load_data(named(lambda source=source: source), None, wanted, seed=10)
                assert by_name(data.x, data.y).keys() == by_name(whole, Y).keys()
                assert data.fingerprint == fingerprint_of_arrays(**by_name(whole[rows], Y[rows]))


def test_floats_that_numpy_lacks_are_float32_exactly(named: Any) -> None:
    x = torch.from_numpy(X).bfloat16()
    for source in ((x, Y), Listed([(row, 1) for row in x]), DataLoader(TensorDataset(x, torch.ones(40)), 8)):
        data = load_data(named(lambda source=source: source))
        assert data.x.dtype == np.float32
        np.testing.assert_array_equal(data.x, x.float().numpy())


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


def test_a_dataset_that_draws_is_refused(named: Any) -> None:
    drawn = "7 samples drawn of the Drawing"
    for drawing, message in [
        (Drawing(5), f": sample 0 of the {drawn} differs when it is fetched again, as by random augmentation"),
        (Drawing(28), f": sample 4 of the {drawn} differs when it is fetched again, as by random augmentation"),
        (DrawingStream(), ": the first batches of the DrawingStream differ when it is read again: it shuffles, or"),
        (DataLoader(Drawing(1)), ": sample 1 of the DataLoader differs when it is fetched again, as by random"),
        (DataLoader(Listed(), shuffle=True), ": the DataLoader shuffles (its sampler is a RandomSampler); give"),
        (DataLoader(Listed(), 7, drop_last=True), ": the DataLoader leaves 5 of 40 samples out (drop_last=True); "),
    ]:
        with pytest.raises(Misuse) as caught:
            load_data(named(lambda drawing=drawing: drawing), None, 7, seed=10)
        assert str(caught.value).startswith(f"--data users_data:make{message}")


class Failing(Listed):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __getitem__(self, i: int) -> Any:
        raise self.error


WANTED = "give (x, y), arrays of one sample a row; or a DataLoader, a Dataset or a list of batches (x, y); or a dict"
BAD: dict[str, tuple[Any, str]] = {
    "number": (3, f"data is an int; {WANTED}"),
    "array": (X, f"data is a ndarray (40, 3); {WANTED}"),
    "three": ((X, Y, Y), f"data is a tuple of 3: ndarray (40, 3), ndarray (40,), ndarray (40,); {WANTED}"),
    "sets": ((Listed(), Listed()), "x is a Listed; give a tensor, an array or a number"),
    "no items": (Listed([]), "the Listed has no samples; give one that has some"),
    "no stream": (Streamed([]), "the Streamed has no samples; give one that has some"),
    "no targets": (Listed([{"x": 1}]), "sample 0 of the Listed is a dict of x: the targets are one part, named y"),
    "lone": (Streamed([X[0]]), "sample 0 of the Streamed is a ndarray (3,); give (x, y), one row a sample"),
    "words": (Listed([(X[0], "cat")]), "y of sample 0 of the Listed is a string, 'cat'; give numbers"),
    "image": (Listed([(Image.new("L", (2, 2)), 1)]), "x of sample 0 of the Listed is an image of PIL; convert it"),
    "shapes": (
        Listed([(X[0], 1), (X[1, :2], 1)]),
        "sample 1 of the Listed holds x floats (2,) a sample, and sample 0 of ",
    ),
    "kinds": (
        Streamed([(X[0], 1), (X[1], 1.0)]),
        "sample 1 of the Streamed holds y floats () a sample, and sample 0 of ",
    ),
    "failing": (Failing(OSError("no file")), "sample 0 of the Failing raised OSError: no file"),
    "failing stream": (map(Failing(OSError("no file")).__getitem__, [7]), "part 0 of the map raised OSError: no file"),
    "lengths": ((X, Y[:3]), "x has 40 samples and y has 3; give one target a sample"),
    "complex": ((X.astype(complex), Y), "x holds complex numbers, shape (40, 3); give one of floats or whole numbers"),
    "not finite": ((np.where(X < 0, np.inf, X), Y), "x holds 60 NaN or infinite value(s)"),
    "a batch": (DataLoader(Listed([(x + np.inf, y) for x, y in ITEMS]), 8), "x holds 24 NaN or infinite value(s)"),
}


def test_what_is_no_data(named: Any) -> None:
    for returned, message in BAD.values():
        assert complaint(named(lambda returned=returned: returned)).startswith(f": {message}")


def test_running_out_of_memory_says_nothing_of_the_code(named: Any) -> None:
    with pytest.raises(MemoryError):
        load_data(named(lambda: Failing(MemoryError())))
