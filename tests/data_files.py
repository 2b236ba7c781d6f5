"""Data in files of every kind, under the names that people give: how each is written, and what belongs to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from tests.data.writers import WRITERS, save_frame

N = 8
RNG = torch.Generator().manual_seed(0)
X = torch.randn(N, 3, dtype=torch.float64, generator=RNG)
Z = torch.randn(N, 2, dtype=torch.float64, generator=RNG)
IDS = torch.randint(0, 5, (N, 4), generator=RNG)
MASK = torch.rand(N, 4, generator=RNG) < 0.7
Y = torch.randint(0, 3, (N,), generator=RNG)
IMAGES = torch.randn(N, 2, 3, dtype=torch.float64, generator=RNG)
COARSE = X.bfloat16()


class Two(nn.Module):
    """Two inputs, x (N, 3) and z (N, 2), to logits of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.z, self.head = nn.Linear(3, 3), nn.Linear(2, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.head(torch.tanh(self.x(x) + self.z(z)))


class Tokens(nn.Module):
    """Token numbers (N, T) and their mask, as models of language take them, to an object with logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        kept = attention_mask[..., None].to(self.embedding.weight.dtype)
        pooled = (self.embedding(input_ids) * kept).sum(1) / (1 + kept.sum(1))
        return {"pooled": pooled, "logits": self.head(torch.tanh(pooled))}


def vectors() -> nn.Module:
    """Return a model of (N, 3)."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def flat() -> nn.Module:
    """Return a model of (N, 2, 3)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 3))


@dataclass(frozen=True)
class DataFile:
    """`write(folder)` writes data and returns what to give as --data; `outputs(model)` are its logits.

    `output` is their place in what the model returns.
    """

    write: Callable[[Path], Path]
    model: Callable[[], nn.Module] = vectors
    outputs: Callable[[nn.Module], Tensor] = lambda model: model(X)
    options: tuple[str, ...] = ()
    output: str = ""

    def loss(self, model: nn.Module) -> Tensor:
        """Return the mean cross entropy."""
        return F.cross_entropy(self.outputs(model), Y)


def of(name: str, **arrays: Any) -> Callable[[Path], Path]:
    """Return a writer of these arrays into one file, in the format of its suffix."""

    def write(folder: Path) -> Path:
        plain = {key: value.numpy() if isinstance(value, Tensor) else value for key, value in arrays.items()}
        WRITERS[f"data{Path(name).suffix}"](folder / name, **plain)
        return folder / name

    return write


def saved(content: Any) -> Callable[[Path], Path]:
    """Return a writer of data.pt."""

    def write(folder: Path) -> Path:
        torch.save(content, folder / "data.pt")
        return folder / "data.pt"

    return write


def arrays(given: str, **held: Tensor) -> Callable[[Path], Path]:
    """Return a writer of .npy files, of which `given` is named."""

    def write(folder: Path) -> Path:
        for name, tensor in held.items():
            np.save(folder / f"{name}.npy", tensor.numpy())
        return folder / given

    return write


def columns(select: str = "*", **series: Any) -> Callable[[Path], Path]:
    """Return a writer of data.parquet."""

    def write(folder: Path) -> Path:
        save_frame(folder / "data.parquet", select, **series)
        return folder / "data.parquet"

    return write


def shards(folder: Path) -> Path:
    """Write three files of two inputs each."""
    for i, rows in enumerate((slice(0, 3), slice(3, 4), slice(4, 8))):
        np.savez(folder / f"part-{i}.npz", **{"x/0": X[rows], "x/1": Z[rows], "labels": Y[rows]})
    return folder


def both(model: nn.Module) -> Tensor:
    """Return the logits of two inputs."""
    return model(X, Z)


def logits(model: nn.Module) -> Tensor:
    """Return the logits of the tokens."""
    return model(IDS, MASK)["logits"]


TRAIN = ("--split", "train")
FILES: dict[str, DataFile] = {
    "`.npz` of `x`, `y`": DataFile(of("data.npz", x=X, y=Y)),
    "`.npz` of `X_train`, `y_train`, `X_test`, ...": DataFile(
        of("data.npz", X_train=X, y_train=Y, X_test=Z, y_test=Y), options=TRAIN
    ),
    "`.npz` of `train_images`, `train_labels`, ...": DataFile(
        of("data.npz", train_images=X, train_labels=Y, val_images=X, val_labels=Y), options=TRAIN
    ),
    "`.npz` of `x/x`, `x/z`, `y`": DataFile(of("data.npz", **{"x/x": X, "x/z": Z, "y": Y}), Two, both),
    "`x.npy` beside `y.npy`": DataFile(arrays("x.npy", x=X, y=Y)),
    "a directory of `.npy`": DataFile(
        arrays(".", input_ids=IDS, attention_mask=MASK, labels=Y), Tokens, logits, output=".logits"
    ),
    "`.pt` of a pair `(x, y)`": DataFile(saved((X, Y))),
    "`.pt` of a dict `{'data': x, 'targets': y}`": DataFile(saved({"data": X, "targets": Y, "classes": ["a", "b"]})),
    "`.pt` of `((x1, x2), y)`": DataFile(saved(((X, Z), Y)), Two, both),
    "`.pt` of a list of batches": DataFile(saved([(X[:5], Y[:5]), (X[5:], Y[5:])])),
    "`.pt` of a `TensorDataset`": DataFile(saved(TensorDataset(X, Y))),
    "`.pt` of `{'train': (x, y), ...}`": DataFile(saved({"train": (X, Y), "test": (Z, Y)}), options=TRAIN),
    "`.pt` of bfloat16": DataFile(saved({"inputs": COARSE, "labels": Y}), outputs=lambda model: model(COARSE.double())),
    "`.safetensors` of `inputs`, `labels`": DataFile(of("data.safetensors", inputs=X, labels=Y)),
    "`.h5` of `data`, `label`": DataFile(of("data.h5", data=X, label=Y)),
    "`.h5` of a group `train` of tokens": DataFile(
        of("data.h5", **{"train/input_ids": IDS, "train/attention_mask": MASK, "train/labels": Y}),
        Tokens,
        logits,
        TRAIN,
        ".logits",
    ),
    "`.parquet` of `x0`, `x1`, `x2`, `y`": DataFile(
        columns(y=Y.numpy(), **{f"x{j}": X[:, j].numpy() for j in range(3)})
    ),
    "`.parquet` of lists of lists": DataFile(
        columns("x::double[][] as x, y", x=IMAGES.tolist(), y=Y.numpy()), flat, lambda model: model(IMAGES)
    ),
    "`.parquet` of `input_ids`, `attention_mask`, `labels`": DataFile(
        columns(input_ids=IDS.numpy(), attention_mask=MASK.numpy(), labels=Y.numpy(), text=list("abcdefgh")),
        Tokens,
        logits,
        output=".logits",
    ),
    "`.npz` of token numbers `x` (N,)": DataFile(
        of("data.npz", x=IDS[:, 0], y=Y), lambda: nn.Embedding(5, 3), lambda model: model(IDS[:, 0])
    ),
    "a directory of shards": DataFile(shards, Two, both),
}
