"""Damaged and malicious files: refused in one line or read as what they are, and nothing pickled in them ever runs."""

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError

STATE = {"0.weight": torch.linspace(-1, 1, 12).reshape(4, 3), "0.bias": torch.linspace(0, 1, 4)}
SAVERS: dict[str, Callable[[Any, Path], None]] = {
    "zip.pt": torch.save,
    "legacy.pt": partial(torch.save, _use_new_zipfile_serialization=False),
    "x.safetensors": lambda content, path: save_file(content["model"], path, metadata={"step": "5"}),
}
NOT_SAVED = " is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save"
PICKLERS = {name: saver for name, saver in SAVERS.items() if name.endswith(".pt")}


class Payload:
    """Runs `call(*arguments)` when it is unpickled by anyone careless."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize("name", SAVERS)
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    SAVERS[name]({"model": STATE, "step": 5}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    rng = random.Random(0)
    lengths = {0, 1, 2, 8, len(whole) // 2, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(60))}
    for length in lengths:
        (tmp_path / name).write_bytes(whole[:length])
        refusal(tmp_path / name)


@pytest.mark.parametrize("name", SAVERS)
def test_a_damaged_file_is_refused_or_known_for_another(tmp_path: Path, name: str) -> None:
    """No format checks all it holds: a flipped bit that a reader lets through must show in the fingerprint."""
    path = tmp_path / name
    SAVERS[name]({"model": STATE, "step": 5}, path)
    whole, original = path.read_bytes(), load(path)
    rng = random.Random(1)
    refused = []
    for trial in range(300):
        damaged = bytearray(whole)
        for _ in range(1 if trial % 2 else 5):
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = load(path)
        except CheckpointError as error:
            refused.append(str(error))
            continue
        same = found.tensors.keys() == STATE.keys() and all(torch.equal(found.tensors[n], STATE[n]) for n in STATE)
        assert (found.fingerprint == original.fingerprint) == same
    assert 0 < len(refused) < 300
    assert all(message.startswith(str(path)) and "\n" not in message for message in refused)


@pytest.mark.parametrize("content", [b"garbage" * 9, bytes(range(256)) * 8, b"\x80\x02", b"."])
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    assert refusal(tmp_path / "x.pt") == NOT_SAVED


def test_garbage_named_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    detail = "SafetensorError: Error while deserializing header: header too large"
    assert refusal(tmp_path / "x.safetensors") == f" is no readable safetensors file: {detail}"


@pytest.mark.parametrize("name", PICKLERS)
@pytest.mark.parametrize("call", [os.system, os.makedirs, os.mkdir])
def test_pickled_code_beside_the_weights_is_never_run(tmp_path: Path, name: str, call: Callable[..., Any]) -> None:
    path, marker = tmp_path / name, tmp_path / "marker"
    argument = f"mkdir {marker}" if call is os.system else str(marker)
    PICKLERS[name]({"model": STATE, "extra": Payload(call, argument)}, path)
    torch.load(path, weights_only=False)  # the payload is live
    marker.rmdir()
    found = load(path)
    assert not marker.exists()
    assert all(torch.equal(found.tensors[layer], tensor) for layer, tensor in STATE.items())


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_bare_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Payload(os.mkdir, str(marker)), protocol))
    pickle.loads(path.read_bytes())
    marker.rmdir()
    assert refusal(path) == " holds a posix.mkdir; save model.state_dict()"
    assert not marker.exists()


def test_a_payload_in_the_place_of_a_weight_is_never_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    payload = Payload(os.mkdir, str(marker))
    for content in ({"0.weight": payload}, {"model": payload}):
        torch.save(content, path)
        assert "holds no named weights" in refusal(path)
    for content in ({**STATE, "0.bias": payload}, {"model": {**STATE, "0.bias": payload}}):
        torch.save(content, path)
        assert refusal(path).startswith(" holds a posix.mkdir under 0.bias, in the place of a tensor; it is damaged")
    torch.save({**STATE, "0._extra_state": payload, "args": payload}, path)
    assert load(path).tensors.keys() == STATE.keys()
    assert not marker.exists()


@pytest.mark.parametrize("name", PICKLERS)
def test_the_weights_of_a_whole_module_are_read(tmp_path: Path, name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    PICKLERS[name]({"epoch": 3, "model": model, "note": "x"}, tmp_path / name)
    found = load(tmp_path / name)
    assert found.epoch == 3
    assert all(torch.equal(found.tensors[layer], tensor) for layer, tensor in model.state_dict().items())


CARELESS = """
import sys, torch
from pathlib import Path
from scalecurv.data.load import load_data
from scalecurv.checkpoints.load import load
path, marker = Path(sys.argv[1]), Path(sys.argv[2])
torch.load(path)  # the environment disarms torch's own default: the payload runs
marker.rmdir()
print(len(load(path).tensors), load_data(path).x.shape)
assert not marker.exists()
"""


def test_an_environment_that_disarms_torch_does_not_disarm_us(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    torch.save({"x": torch.ones(2, 2), "y": torch.ones(2), "extra": Payload(os.mkdir, str(marker))}, path)
    done = subprocess.run(
        [sys.executable, "-c", CARELESS, path, marker],
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not marker.exists()
