"""Whatever holds no samples is refused by one line that names what is there and what to give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    TensorDataset,
)

from scalecurv import Problem
from scalecurv.errors import Misuse
from scalecurv.samples.forms import opened

N = 6
X, Y = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 2
PAIRS = TensorDataset(X, Y)
PICTURE = Image.fromarray(np.zeros((2, 2), np.uint8))


class Broken(Dataset):
    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if i > 3:
            raise KeyError("gone")
        return X[i], 0


class Pictures(Broken):
    def __getitem__(self, i: int) -> tuple[Any, int]:
        return PICTURE, 0


def loader(size: int = 2, data: Any = PAIRS, **options: Any) -> DataLoader:
    return DataLoader(data, size, **options)


WANTED = (
    "give (x, y), arrays of one sample a row; or a DataLoader, a Dataset or a list of batches (x, y); or a dict with "
    "the targets as y or labels"
)
SEVERAL = "give (x, y), with several inputs as ((x1, x2), y), and batches so too: [((a, b), y) for a, b, y in loader]"
NAMES = "the targets are one part, named y, targets, target, labels or label"
TOKENS = "give numbers: the token ids of a tokenizer, or numbers of classes"
PIL = "is an image of PIL; convert it, for example by numpy.asarray(image) or torchvision.transforms.ToTensor()"
PAD = (
    "give all one form: pad them to one width, or cut them to it (collate_fn of a DataLoader; padding='max_length' of "
    "a tokenizer)"
)
LINES: dict[str, tuple[Callable[[], Any], str]] = {
    "broken": (Broken, "sample 4 of the Broken raised KeyError: 'gone'"),
    "pictures": (Pictures, f"x of sample 0 of the Pictures {PIL}"),
    "pictures in a loader": (lambda: loader(2, Pictures()), f"x of sample 0 of the DataLoader {PIL}"),
    "a list of pictures": (lambda: ([PICTURE] * N, Y), f"x, a list, holds {PIL[3:]}"),
    "a path": (
        lambda: "data.pt",
        "data is the string 'data.pt'; give what the file holds, read by torch.load or numpy.load",
    ),
    "a name in each item": (
        lambda: [({"a": X[0], "id": "s0"}, 0)],
        f"x of part 0 of the list of 1['id'] is a string, 's0'; {TOKENS}, or leave it out",
    ),
    "texts": (lambda: (["one", "two"], [0, 1]), f"x, a list, holds a string, 'one'; {TOKENS}"),
    "texts by name": (
        lambda: {"text": ["one", "two"], "ids": X[:2], "labels": Y[:2]},
        f"x['text'], a list, holds a string, 'one'; {TOKENS}",
    ),
    "no targets": (lambda: (X, None), "y is None; give one of floats or whole numbers, one row a sample"),
    "x alone": (lambda: X, f"data is a Tensor (6, 3); {WANTED}"),
    "a number": (lambda: 5, f"data is an int; {WANTED}"),
    "nothing": (list, f"data is a list of 0; {WANTED}"),
    "three arrays": (
        lambda: (X, X, Y),
        f"data is a tuple of 3: Tensor (6, 3), Tensor (6, 3), Tensor (6,); {WANTED}, with several inputs as "
        f"((x1, x2), y)",
    ),
    "batches of three": (
        lambda: loader(3, TensorDataset(X, X, Y)),
        f"sample 0 of the DataLoader is a tuple of 3: Tensor (3,), Tensor (3,), Tensor (); {SEVERAL}",
    ),
    "no name": (
        lambda: {"a": X, "b": Y},
        f"data is a dict of a, b: {NAMES}, and none is so named; give (x, y), x the dict of inputs",
    ),
    "two names": (
        lambda: {"a": X, "labels": Y, "y": Y},
        f"data is a dict of a, labels, y: {NAMES}, and several are so named; give (x, y), x the dict of inputs",
    ),
    "targets alone": (lambda: {"labels": Y}, "data is a dict of labels alone; give the inputs too, by name, or (x, y)"),
    "splits": (
        lambda: {"train": PAIRS, "test": PAIRS},
        "data is a dict of train, test, each a data set of its own; give one of them",
    ),
    "one pair of two, or two batches": (
        lambda: ((X, Y), (X, Y)),
        "data is a tuple of two pairs of arrays: give a list, [(x1, y1), (x2, y2)], where they are two batches; give "
        "dicts, ({'a': x1, 'b': x2}, {'c': y1, 'd': y2}), where they are two inputs, named as by forward, and two "
        "targets",
    ),
    "rows that differ": (
        lambda: ((X, X[:5]), Y),
        "x[0] has 6 rows, x[1] has 5 rows; give each part one row a sample",
    ),
    "a part without rows": (
        lambda: ({"a": X, "flag": True}, Y),
        "x['flag'] is one number; give an array with one row a sample",
    ),
    "a list of samples": (
        lambda: (list(X), Y),
        "x has 3 samples and y has 6; give one target a sample; x is a list of arrays, each of which is taken as one "
        "input: if each is one sample, give torch.stack(x)",
    ),
    "widths": (
        lambda: [(X[:2], Y[:2]), (X[2:4], Y[2:4]), (X[4:, :2], Y[4:])],
        f"batch 2 of the list of 3 holds x floats (2,) a sample, and batch 0 of the list of 3 x floats (3,); {PAD}",
    ),
    "kinds": (
        lambda: [(X[:3], Y[:3]), (X[3:].long(), Y[3:])],
        f"batch 1 of the list of 2 holds x whole numbers (3,) a sample, and batch 0 of the list of 2 x floats (3,); "
        f"{PAD}",
    ),
    "a batch of two lengths": (
        lambda: [(X, Y), (X, Y[:2])],
        "x of batch 1 of the list of 2 has 6 samples and y of batch 1 of the list of 2 has 2; give one target a sample",
    ),
    "a run to its end": (
        lambda: iter([]),
        "the list_iterator has no samples; give one that has some, and that was not read before",
    ),
    "complex": (
        lambda: (X.to(torch.complex64), Y),
        "x is of torch.complex64, torch.strided; give a dense array of real numbers",
    ),
    "objects": (
        lambda: (np.array([{}, {}]), [0, 1]),
        "x holds objects, shape (2,); give one of floats or whole numbers",
    ),
    "NaN in a part": (
        lambda: ((X, X.where(X < 1.5, torch.nan)), Y),
        "x[1] holds 2 non-finite value(s) of 18, the first in sample 2; remove them first",
    ),
    "NaN in a batch": (
        lambda: [(X, Y), (X * torch.tensor([[1.0]] * 5 + [[torch.inf]]), Y)],
        "x holds 3 non-finite value(s) of 18, the first in sample 11; remove them first",
    ),
}


def test_each_line() -> None:
    for name, (data, line) in LINES.items():
        with pytest.raises(Misuse) as caught:
            Problem(nn.Linear(3, 2), data())
        assert str(caught.value).startswith(line), f"{name}: {caught.value}"
        assert "\n" not in str(caught.value)


def test_a_mask_of_several_inputs_may_hold_infinities() -> None:
    class Masked(nn.Linear):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return super().forward(x + mask.exp())

    problem = Problem(Masked(3, 2), ((X, torch.zeros(N, 3).index_fill(1, torch.tensor([0]), -torch.inf)), Y))
    assert problem.x.leaves[1].isinf().any()


def test_names_are_shown_and_few_of_many() -> None:
    many = {"\x1b[2J": torch.zeros(3), **{f"part_{i}": torch.zeros(3) for i in range(99)}}
    shown = r"\x1b[2J, part_0, part_1, part_2, part_3, part_4 and 94 others"
    for data in (many, [{**many}, 1, 2]):
        with pytest.raises(Misuse) as caught:
            opened(data)
        assert "\x1b" not in str(caught.value)
        assert len(str(caught.value)) < 400
        assert shown in str(caught.value) or data is not many
