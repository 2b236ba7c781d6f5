"""Files that torch reads and nothing can be computed of, or that trip whoever trusts them: one line each."""

import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import build_mlp
from scalecurv.errors import CheckpointError, Misuse
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP

DEEP = "[" * 200_000


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    return str(caught.value)


def test_json_that_is_nested_without_end(tmp_path: Path) -> None:
    from scalecurv.checkpoints.problem_file import read_spec

    folder = READABLE["sharded safetensors"](tmp_path, STATE, STEP)
    (folder / "trainer_state.json").write_text(DEEP)
    assert load(folder).step == STEP  # by the name
    (folder / "model.safetensors.index.json").write_text(DEEP)
    assert refusal(folder).startswith(f"{folder / 'model.safetensors.index.json'} cannot be read as JSON: ")
    (tmp_path / "problem.json").write_text(DEEP)
    with pytest.raises(Misuse, match="cannot be read as JSON"):
        read_spec(tmp_path, {})


def test_a_step_without_a_number(tmp_path: Path) -> None:
    path = saved(tmp_path / "step_3.pt", {"model": STATE, "step": torch.zeros(1, device="meta")})
    assert load(path).step == 3


@pytest.mark.parametrize("method", ["get", "keys"])
def test_a_dict_that_hides_its_own_methods(tmp_path: Path, method: str) -> None:
    """Its attributes are dropped: what is left is a dict."""
    content = OrderedDict(STATE)
    setattr(content, method, 1)
    plain = load(saved(tmp_path / "plain.pt", STATE))
    assert load(saved(tmp_path / "x.pt", content)).fingerprint == plain.fingerprint


def test_more_numbers_than_the_file_holds(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {**STATE, "x": torch.zeros(1).expand(10**13)})
    assert refusal(path) == f"{path}: x has {10**13} numbers and not as many in the file; save a copy"


def test_a_negative_that_is_still_to_be_taken(tmp_path: Path) -> None:
    negated = {name: torch._neg_view(tensor) for name, tensor in STATE.items()}
    plain = saved(tmp_path / "plain.pt", {name: -tensor for name, tensor in STATE.items()})
    assert load(saved(tmp_path / "lazy.pt", negated)).fingerprint == load(plain).fingerprint


@pytest.mark.parametrize(
    "dtype", [d for d in vars(torch).values() if isinstance(d, torch.dtype) and "float4" in str(d)]
)
def test_formats_that_nothing_is_computed_in(tmp_path: Path, dtype: torch.dtype) -> None:
    path = saved(tmp_path / "x.pt", {**STATE, "x": torch.zeros(4, dtype=torch.uint8).view(dtype)})
    assert refusal(path).startswith(f"{path}: x ({dtype}, torch.strided, on cpu) is no dense tensor of plain numbers")


def test_complex_weights_are_no_weights_of_a_real_model(tmp_path: Path) -> None:
    state = {**STATE, "0.weight": STATE["0.weight"] + 1j}
    path = saved(tmp_path / "x.pt", state)
    with pytest.raises(CheckpointError) as caught:
        build_mlp(load(path), "relu", flatten=False)
    advice = "save its real and imaginary parts as two tensors"
    assert str(caught.value) == f"{path}: 0.weight is complex, and scalecurv takes real weights; {advice}"
    state["0.weight"][0, 0] = complex(0, float("nan"))
    assert refusal(saved(path, state)).startswith(f"{path}: 0.weight holds 1 NaN(s)")


def test_pipes_keep_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "step_1.pt")
    assert refusal(tmp_path / "step_1.pt").startswith(f"{tmp_path / 'step_1.pt'} is no regular file; ")
    os.mkfifo(tmp_path / "trainer_state.json")
    assert load(saved(tmp_path / "step_2.pt", STATE)).step == 2
    folder = READABLE["distributed"](tmp_path, STATE, STEP)
    (folder / "__0_0.distcp").unlink()
    os.mkfifo(folder / "__0_0.distcp")
    assert "__0_0.distcp is not there, or no regular file" in refusal(folder)


def test_keys_that_are_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02})" + b"\x85" * 20_000 + b"Ns.")
        archive.writestr("x/version", b"3\n")
    assert refusal(path).startswith(str(path))
