"""What torch.save wrote: the weights among all that is in the file, and no more of a large one than these."""

import mmap
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.checkpoints import torch_file
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from scalecurv.pickles import read
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Every file is a large one; whether each was mapped."""
    mapped: list[bool] = []
    opened = read._opened

    def spied(path: Path, large: int) -> Any:
        file = opened(path, large)
        mapped.append(isinstance(file, mmap.mmap))
        return file

    monkeypatch.setattr(torch_file, "LARGE", 1)
    monkeypatch.setattr(read, "_opened", spied)
    return mapped


@pytest.mark.parametrize(
    "name", ["state_dict .pt", "model with optimizer", "before zip files", "Hugging Face .bin", "sharded .bin"]
)
def test_a_large_file_is_mapped_and_the_weights_are_the_same(tmp_path: Path, name: str, large: list[bool]) -> None:
    checkpoint = load(READABLE[name](tmp_path, STATE, STEP))
    assert all(large)
    assert large
    assert all(torch.equal(checkpoint.tensors[layer], tensor) for layer, tensor in STATE.items())
    assert checkpoint.step == STEP


def test_what_was_mapped_is_let_go(tmp_path: Path, large: list[bool]) -> None:
    """Overwriting the file changes no weight, and kills nobody."""
    path = READABLE["model with optimizer"](tmp_path, STATE, STEP)
    checkpoint = load(path)
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(0)
        file.write(b"\0" * size)
        file.truncate(10)
    assert all(torch.equal(checkpoint.tensors[layer], tensor) for layer, tensor in STATE.items())
    assert large == [True]


def test_a_small_file_is_read_whole(tmp_path: Path, large: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "LARGE", 1 << 30)
    load(READABLE["state_dict .pt"](tmp_path, STATE, STEP))
    assert large == [False]


@pytest.mark.parametrize(
    "content",
    [
        {"state": {"model": STATE, "optimizers": {"SGD": {}}, "timestamp": 3}, "rng": [1]},
        {"module": STATE, "optimizer": None, "global_steps": 7},
        {"net": {f"module.{name}": tensor for name, tensor in STATE.items()}, "best": 0.5},
        {"params": STATE, "ema": {name: tensor + 1 for name, tensor in STATE.items()}},
        {"model": {}, "state_dict": STATE},
    ],
    ids=["Composer", "DeepSpeed", "net", "params", "an empty one first"],
)
def test_wrapped_by_training_loops(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "x.pt"
    torch.save(content, path)
    tensors = load(path).tensors
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[layer], tensor) for layer, tensor in STATE.items())


def test_tied_tensors_stay_one_and_no_tensor_keeps_the_file(tmp_path: Path) -> None:
    tied = torch.ones(3, 4)
    torch.save({"a": tied, "b": tied, "c": tied[1], "moments": torch.zeros(1000)}, tmp_path / "x.pt")
    weights = torch_file.read_torch(tmp_path / "x.pt").weights
    assert weights["a"].data_ptr() == weights["b"].data_ptr() != weights["c"].data_ptr()
    assert all(isinstance(w, Tensor) and w.untyped_storage().nbytes() == w.nbytes for w in weights.values())


def test_keys_without_end_beside_the_weights(tmp_path: Path) -> None:
    """A tuple nested a thousand times can be a key, and its text cannot be written."""
    weights = pickle.dumps({"0.weight": np.ones((2, 2))}, 2)
    (tmp_path / "a.pt").write_bytes(weights[:-1] + b"N" + b"\x85" * 998 + b"Ns.")
    assert load(tmp_path / "a.pt").tensors.keys() == {"0.weight"}
    torch.save({"0.weight": torch.ones(2, 2)}, tmp_path / "b.pt")
    with zipfile.ZipFile(tmp_path / "b.pt") as archive, zipfile.ZipFile(tmp_path / "a.pt", "w") as other:
        for name in archive.namelist():
            record = archive.read(name)
            other.writestr(name, record[:-1] + b"N" + b"\x85" * 998 + b"Ns." if name.endswith(".pkl") else record)
    assert load(tmp_path / "a.pt").tensors.keys() == {"0.weight"}


def test_views_that_are_far_larger_than_their_storage(tmp_path: Path) -> None:
    flat = torch.ones(1 << 18)
    torch.save({f"{i}.weight": flat[i:] for i in range(100)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="holds tensors that overlap and are far larger than the file"):
        load(tmp_path / "a.pt")


def test_numbers_that_torch_has_not(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"0.weight": np.ones((2, 2), np.longdouble)}))
    with pytest.raises(CheckpointError, match=r"holds 0[.]weight as float128, for which torch has no numbers"):
        load(tmp_path / "a.pt")
