"""Data in the forms that people hold, with the model and the loss that they belong to, and forms that are refused."""

from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, StackDataset, TensorDataset

N = 8
RNG = torch.Generator().manual_seed(0)
X = torch.randn(N, 3, dtype=torch.float64, generator=RNG)
Z = torch.randn(N, 2, dtype=torch.float64, generator=RNG)
IDS = torch.randint(0, 3, (N,), generator=RNG)
Y = torch.randint(0, 3, (N,), generator=RNG)
COARSE = X.bfloat16()  # with few digits


class Net(nn.Module):
    """(N, 3) and perhaps (N, 2), to logits of 3 classes in the form that `wrap` gives them."""

    def __init__(self, wrap: Callable[[Tensor], Any] = lambda f: f):
        super().__init__()
        self.first, self.second, self.head, self.wrap = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 3), wrap

    def forward(self, x: Tensor, z: Tensor | None = None) -> Any:
        inner = self.first(x) if z is None else self.first(x) + self.second(z)
        return self.wrap(self.head(torch.tanh(inner)))


class Nests(Net):
    """The same, whose inputs come as one dict within another."""

    def forward(self, parts: dict[str, Any]) -> Any:
        return super().forward(parts["left"]["x"], parts["right"])


class Output(dict):
    """An output object as transformers has it: fields by name and by attribute."""

    __getattr__ = dict.__getitem__


class Items(Dataset):
    """A data set of one's own."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return X[i], int(Y[i])


class Stream(IterableDataset):
    """Items one after the other, of no known number."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(X, Y, strict=True)


class Augmented(Items):
    """Items that differ whenever they are fetched."""

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return X[i] + torch.rand(3, dtype=torch.float64), int(Y[i])


@dataclass(frozen=True)
class HeldData:
    """`data()` makes a form of data anew; `outputs(model)` are the logits that the model gives for it."""

    data: Callable[[], Any]
    outputs: Callable[[nn.Module], Tensor] = lambda model: model(X)
    model: Callable[[], nn.Module] = Net

    def loss(self, model: nn.Module) -> Tensor:
        """Return the mean cross entropy."""
        return F.cross_entropy(self.outputs(model), Y)


def batches() -> list[tuple[Tensor, Tensor]]:
    """Return the data in two batches of unequal size."""
    return [(X[:5], Y[:5]), (X[5:], Y[5:])]


def both(model: nn.Module) -> Tensor:
    """Return the logits of two inputs."""
    return model(X, Z)


PAIR = namedtuple("PAIR", "x z")
ROWS = [{"x": X[i], "z": Z[i], "labels": Y[i]} for i in range(N)]
SAMPLES: dict[str, HeldData] = {
    "tensors `(x, y)`": HeldData(lambda: (X, Y)),
    "NumPy arrays `(x, y)`": HeldData(lambda: (X.numpy(), Y.numpy())),
    "tensors of bfloat16": HeldData(lambda: (COARSE, Y), lambda model: model(COARSE.double())),
    "a `TensorDataset`": HeldData(lambda: TensorDataset(X, Y)),
    "a `Dataset` of `(x, y)`": HeldData(Items),
    "an `IterableDataset`": HeldData(Stream),
    "a `DataLoader` in a fixed order": HeldData(lambda: DataLoader(TensorDataset(X, Y), 3)),
    "a list of batches `[(x, y), ...]`": HeldData(batches),
    "a list of two batches of equal size": HeldData(lambda: [(X[:4], Y[:4]), (X[4:], Y[4:])]),
    "a generator of batches": HeldData(lambda: (batch for batch in batches())),
    "two inputs `((x, z), y)`": HeldData(lambda: ((X, Z), Y), both),
    "a namedtuple of inputs": HeldData(lambda: (PAIR(X, Z), Y), both),
    "inputs by name `({'x': x, 'z': z}, y)`": HeldData(lambda: ({"z": Z, "x": X}, Y), both),
    "containers in containers": HeldData(
        lambda: (({"left": {"x": X}, "right": Z},), Y), lambda model: Net.forward(model, X, Z), Nests
    ),
    "batches of two inputs": HeldData(lambda: DataLoader(TensorDataset(X, Z, Y), 3, collate_fn=_paired), both),
    "a dict with `labels` in it": HeldData(lambda: {"x": X, "z": Z, "labels": Y}, both),
    "a `BatchEncoding`": HeldData(lambda: UserDict(x=X, z=Z, labels=Y), both),
    "a `Dataset` of dicts": HeldData(lambda: StackDataset(x=X, z=Z, labels=Y), both),
    "a list of dicts": HeldData(lambda: ROWS, both),
    "a `DataLoader` of dicts": HeldData(lambda: DataLoader(StackDataset(x=X, z=Z, labels=Y), 3), both),
    "token numbers x (N,)": HeldData(lambda: (IDS, Y), lambda model: model(IDS), lambda: nn.Embedding(3, 3)),
}
OUTPUTS: dict[str, HeldData] = {
    "an object with `.logits`": HeldData(
        lambda: (X, Y), lambda model: model(X).logits, lambda: Net(lambda f: Output(hidden=f * 2, logits=f))
    ),
    "a dict with `logits`": HeldData(
        lambda: (X, Y), lambda model: model(X)["logits"], lambda: Net(lambda f: {"hidden": f * 2, "logits": f})
    ),
    "a tuple": HeldData(lambda: (X, Y), lambda model: model(X)[0], lambda: Net(lambda f: (f, f * 2))),
    "`(loss, logits)`": HeldData(lambda: (X, Y), lambda model: model(X)[1], lambda: Net(lambda f: (f.sum(), f))),
}


def _paired(items: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    x, z, y = map(torch.stack, zip(*items, strict=True))
    return (x, z), y


def ragged() -> list[tuple[Tensor, Tensor]]:
    """Return batches that were padded each to a width of its own."""
    return [(X[:4], Y[:4]), (X[4:, :2], Y[4:])]


REFUSED: dict[str, Callable[[], Any]] = {
    "a `DataLoader` that shuffles": lambda: DataLoader(TensorDataset(X, Y), 3, shuffle=True),
    "a `Dataset` that augments": Augmented,
    "a `DataLoader` that drops the last batch": lambda: DataLoader(TensorDataset(X, Y), 3, drop_last=True),
    "batches padded to several widths": ragged,
    "texts": lambda: (["one", "two"], [0, 1]),
    "x and y of different lengths": lambda: (X, Y[:-1]),
    "inputs without targets": lambda: X,
    "targets that are `None`": lambda: [(X[:4], None), (X[4:], None)],
    "a dict without targets": lambda: {"x": X, "z": Z},
    "NaN": lambda: (X.where(X < 1, torch.nan), Y),
    "no samples": lambda: (X[:0], Y[:0]),
}
