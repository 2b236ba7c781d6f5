"""A loader, a data set or a run whose samples are in no fixed order is refused by one line that says what to give."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from scalecurv import Problem
from scalecurv.errors import Misuse

N = 6
X, Y = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 2
PAIRS = TensorDataset(X, Y)


class Flips(Dataset):
    """A random flip, which leaves a sample as it is half of the time."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return X[i].flip(0) if torch.rand(()) < 0.5 else X[i], i % 2


class Anyhow(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        yield from ((X[i], i % 2) for i in torch.randperm(N).tolist())


class Drawn(Sampler):
    """A sampler of one's own that shuffles."""

    def __init__(self) -> None: ...

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(N).tolist())

    def __len__(self) -> int:
        return N


def loader(size: int = 2, data: Any = PAIRS, **options: Any) -> DataLoader:
    return DataLoader(data, size, **options)


FIXED = "give DataLoader(..., shuffle=False)"
PART = ", without a sampler, of the data set or of a part of it, by torch.utils.data.Subset(dataset, indices)"
REDRAWN = (
    r"sample \d of the (Flips|DataLoader) differs when it is fetched again, as by random augmentation, and so would "
    r"the loss; give the data set without its random transforms"
)
LINES: dict[str, tuple[Callable[[], Any], str]] = {
    "shuffles": (lambda: loader(shuffle=True), f"the DataLoader shuffles (its sampler is a RandomSampler); {FIXED}"),
    "random batches": (
        lambda: DataLoader(PAIRS, batch_sampler=BatchSampler(RandomSampler(PAIRS), 2, False)),
        f"the DataLoader shuffles (its sampler is a RandomSampler); {FIXED}",
    ),
    "a random part": (
        lambda: loader(sampler=SubsetRandomSampler([1, 2, 3])),
        f"the DataLoader shuffles (its sampler is a SubsetRandomSampler); {FIXED}{PART}",
    ),
    "weights": (
        lambda: loader(sampler=WeightedRandomSampler([1.0] * N, N)),
        f"the DataLoader shuffles (its sampler is a WeightedRandomSampler); {FIXED}{PART}",
    ),
    "a share": (
        lambda: loader(sampler=DistributedSampler(PAIRS, 2, 0)),
        "the DataLoader has a DistributedSampler, which reads one of 2 shares of the data; give the loader without it, "
        "of all samples",
    ),
    "a sampler of one's own": (
        lambda: loader(sampler=Drawn()),
        f"the DataLoader shuffles: its first batches differ when it is read again; {FIXED}",
    ),
    "leaves out": (
        lambda: loader(4, drop_last=True),
        "the DataLoader leaves 2 of 6 samples out (drop_last=True); give it with drop_last=False",
    ),
    "may leave out": (
        lambda: loader(4, Anyhow(), drop_last=True),
        "the DataLoader has drop_last=True, which may leave samples out; give it with drop_last=False",
    ),
    "in any order": (
        Anyhow,
        "the first batches of the Anyhow differ when it is read again: it shuffles, or draws at random (augmentation); "
        "give samples in a fixed order, without random transforms",
    ),
}


def test_each_line() -> None:
    for name, (data, line) in LINES.items():
        with pytest.raises(Misuse) as caught:
            Problem(nn.Linear(3, 2), data())
        assert str(caught.value).startswith(line), f"{name}: {caught.value}"
        assert "\n" not in str(caught.value)


def test_augmentation_is_told_apart_from_shuffling() -> None:
    for data in (Flips(), loader(3, Flips())):
        with pytest.raises(Misuse) as caught:
            Problem(nn.Linear(3, 2), data)
        assert re.fullmatch(REDRAWN, str(caught.value))


def test_advice_leads_to_an_answer() -> None:
    wanted = Problem(nn.Linear(3, 2), (X, Y)).x
    three = loader(4, TensorDataset(X, X, Y))
    for data in (
        loader(4, drop_last=False),
        loader(3, drop_last=True),  # nothing is left out
        loader(sampler=DistributedSampler(PAIRS, 1, 0, shuffle=False)),
        [(X[:3], Y[:3]), (X[3:], Y[3:])],
        (torch.stack(list(X)), Y),
    ):
        assert torch.equal(Problem(nn.Linear(3, 2), data).x, wanted)
    both = Problem(nn.Bilinear(3, 3, 2), [((a, b), y) for a, b, y in three])
    assert torch.equal(both.x.leaves[1], wanted)


def test_reading_leaves_the_random_state_where_nothing_is_drawn() -> None:
    model, state = nn.Linear(3, 2), torch.get_rng_state()
    Problem(model, loader(4))
    assert torch.equal(state, torch.get_rng_state())
