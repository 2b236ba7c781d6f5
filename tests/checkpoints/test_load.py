"""One file as tensors: what is taken from it, and the line that says why nothing can be."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from scalecurv.checkpoints import load as module
from scalecurv.checkpoints.load import Checkpoint, load, stamp_of
from scalecurv.errors import CheckpointError
from scalecurv.record import FileStamp

STATE = {"0.weight": torch.arange(12.0).reshape(4, 3), "0.bias": torch.ones(4)}


UNUSED = "if the model does not use it, leave it out with --ignore '^odd$'"
NONE = "save model.state_dict(), or if it is no checkpoint, leave it out with --exclude x.pt"


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refusal(path: Path) -> str:
    """What the file is refused with, less its path: every refusal names the file first, in one line."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_all_that_a_checkpoint_says(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"model": STATE, "step": 7, "epoch": 1.5, "optimizer": {"state": {}}})
    checkpoint = load(path)
    stat = path.stat()
    assert checkpoint.path == path
    assert checkpoint.stamp == FileStamp(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    assert list(checkpoint.tensors) == ["0.weight", "0.bias"]
    assert (checkpoint.ordered, checkpoint.step, checkpoint.epoch) == (True, 7, 1.5)
    assert checkpoint.dtype == torch.float32


def test_step_from_metadata_name_or_folder(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    save_file(STATE, tmp_path / "step_9.safetensors", metadata={"format": "pt", "step": "13"})
    assert load(tmp_path / "step_9.safetensors").step == 13
    assert load(saved(tmp_path / "step_9.pt", STATE)).step == 9
    assert load(saved(folder / "weights.pt", STATE)).step == 500


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["0.weight", "0.bias"], True),
        (["0.bias", "0.weight"], False),
        (["body.weight", "head.weight"], False),
        (["head.weight", "body.weight"], True),
    ],
)
def test_sorted_names_are_no_order(tmp_path: Path, names: list[str], ordered: bool) -> None:
    """A .pt converted from a safetensors file lists its names as sorted: bias before weight, a before b."""
    state = dict.fromkeys(names, torch.ones(2))
    assert load(saved(tmp_path / "x.pt", state)).ordered == ordered
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "x.safetensors")
    assert not load(tmp_path / "x.safetensors").ordered


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_rest_in_the_dtype_they_were_saved_in(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"count": torch.tensor(3), **{name: t.to(dtype) for name, t in STATE.items()}}
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"x{suffix}"
        saved(path, state) if suffix == ".pt" else save_file(state, path)
        checkpoint = load(path)
        assert checkpoint.dtype == dtype
        assert {name: t.dtype for name, t in checkpoint.tensors.items()} == {name: t.dtype for name, t in state.items()}
        assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in state.items())


def test_a_lazy_conjugate_is_what_it_stands_for(tmp_path: Path) -> None:
    tensor = torch.tensor([1 + 2j, -3j])
    plain = load(saved(tmp_path / "plain.pt", {**STATE, "phase": tensor.conj().resolve_conj()}))
    lazy = load(saved(tmp_path / "lazy.pt", {**STATE, "phase": tensor.conj()}))
    assert lazy.tensors["phase"].tolist() == [1 - 2j, 3j]
    assert lazy.fingerprint == plain.fingerprint


def test_a_tied_tensor_that_safetensors_left_out_is_put_back(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight

    tied = Tied()
    save_model(tied, str(tmp_path / "x.safetensors"))
    whole = load(saved(tmp_path / "x.pt", tied.state_dict()))
    assert load(tmp_path / "x.safetensors").fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, " holds an int; save model.state_dict()"),
        (torch.ones(2), " holds a Tensor; save model.state_dict()"),
        ({}, f" holds no named weights (its keys: ); {NONE}"),
        ({"model": {"width": 4}, "step": 3}, f" holds no named weights (its keys: model, step); {NONE}"),
        (dict.fromkeys("abcdefgh", 1), f" holds no named weights (its keys: a, b, c, d, e, f and 2 others); {NONE}"),
        ({"count": torch.arange(3)}, " holds no weights, no tensor of floating-point numbers; save model.state_dict()"),
    ],
)
def test_what_holds_no_weights(tmp_path: Path, content: Any, message: str) -> None:
    assert refusal(saved(tmp_path / "x.pt", content)) == message


@pytest.mark.parametrize(
    ("bad", "count"),
    [([float("nan"), 0, float("nan"), 1], "2 NaN(s)"), ([0, float("inf"), float("nan"), 0], "1 NaN(s)")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_diverged_run_is_told_by_tensor_and_count(
    tmp_path: Path, bad: list[float], count: str, dtype: torch.dtype
) -> None:
    path = saved(tmp_path / "x.pt", {**STATE, "0.bias": torch.tensor(bad, dtype=dtype)})
    assert refusal(path) == f": 0.bias holds {count}; the run diverged before it"


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(3).to_sparse(), "torch.float32, torch.sparse_coo, on cpu"),
        (torch.ones(3, device="meta"), "torch.float32, torch.strided, on meta"),
        (torch.ones(3).to(torch.float8_e4m3fn), "torch.float8_e4m3fn, torch.strided, on cpu"),
    ],
)
def test_tensors_of_a_kind_that_nothing_is_computed_with(tmp_path: Path, tensor: torch.Tensor, kind: str) -> None:
    message = refusal(saved(tmp_path / "x.pt", {**STATE, "odd": tensor}))
    assert message == f": odd ({kind}) is no dense tensor of plain numbers; save it as one; {UNUSED}"


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "x.pt") == " cannot be opened (No such file or directory); every worker must see this path"
    )


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.mkdir()
    assert refusal(path) == (
        " is a directory without .metadata or an index of shards, so it is no checkpoint; give a file, or a directory "
        "that holds checkpoints"
    )


@pytest.mark.parametrize("swap", ["rewritten", "replaced", "touched"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: str) -> None:
    path, other = saved(tmp_path / "x.pt", STATE), saved(tmp_path / "y.tmp", {**STATE, "0.bias": torch.zeros(4)})
    read_torch = module.read_torch

    def meanwhile(*args: Any) -> Any:
        content = read_torch(*args)
        if swap == "rewritten":
            path.write_bytes(other.read_bytes() + b"more")
        elif swap == "replaced":
            os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))  # same size and time: another inode
            os.replace(other, path)
        else:
            os.utime(path, ns=(1, 1))
        return content

    monkeypatch.setattr(module, "read_torch", meanwhile)
    assert refusal(path) == " changed while it was read; run again once it is written"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_was_read_stays_whatever_becomes_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    saved(path, STATE) if suffix == ".pt" else save_file(STATE, path)
    checkpoint = load(path)
    path.write_bytes(bytes(path.stat().st_size))  # in place: a map of the file would now hold zeros
    assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in STATE.items())


def test_a_stamp_fits_the_columns_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems number their inodes with all 64 bits."""
    stat = SimpleNamespace(st_size=1, st_mtime_ns=2, st_ino=2**64 - 1)
    monkeypatch.setattr(module, "os", SimpleNamespace(stat=lambda _: stat))
    assert stamp_of(Path("x")) == FileStamp("x", 1, 2, 2**63 - 1)


def test_the_dtype_is_that_of_the_first_float() -> None:
    tensors = {"steps": torch.tensor(1), "w": torch.ones(2, dtype=torch.float64), "b": torch.ones(2)}
    assert Checkpoint(Path("x"), FileStamp("x", 0, 0, 0), tensors, True, None, None, "").dtype == torch.float64


def test_what_a_trainer_says_beside_the_weights_wins_over_the_name_and_not_over_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    (folder / "trainer_state.json").write_text('{"global_step": 600, "epoch": 1.25, "log_history": []}')
    torch.save(STATE, folder / "pytorch_model.bin")
    torch.save({"model": STATE, "step": 700}, folder / "own.pt")
    assert (load(folder / "pytorch_model.bin").step, load(folder / "pytorch_model.bin").epoch) == (600, 1.25)
    assert load(folder / "own.pt").epoch == 1.25
    (folder / "trainer_state.json").write_text("{")
    assert load(folder / "pytorch_model.bin").step == 500
    (folder / "trainer_state.json").write_text("[600]")
    assert load(folder / "pytorch_model.bin").step == 500
