"""Damaged and malicious files: refused in one line, and nothing that is pickled in them ever runs."""

import contextlib
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
TRUSTED = "if you trust it, for the first statement runs what is pickled in it, convert it"
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
    """No format checks all it holds: a flipped bit that torch lets through must show in the fingerprint."""
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is no readable checkpoint: EOFError; it may be cut short"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            NOT_SAVED,
        ),
        (
            b"<html>404</html>",
            NOT_SAVED,
        ),
        (
            pickle.dumps({"w": 1}, 4),
            NOT_SAVED,
        ),
        (
            bytes(range(256)) * 8,
            NOT_SAVED,
        ),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    assert refusal(tmp_path / "x.pt") == message


def test_garbage_named_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    detail = "SafetensorError: Error while deserializing header: header too large"
    assert refusal(tmp_path / "x.safetensors") == f" is no readable safetensors file: {detail}"


@pytest.mark.parametrize("name", PICKLERS)
@pytest.mark.parametrize(
    ("call", "culprit"), [(os.system, "posix.system"), (os.makedirs, "os.makedirs"), (os.mkdir, "posix.mkdir")]
)
def test_pickled_code_is_named_and_never_run(tmp_path: Path, name: str, call: Callable[..., Any], culprit: str) -> None:
    path, marker = tmp_path / name, tmp_path / "marker"
    argument = f"mkdir {marker}" if call is os.system else str(marker)
    PICKLERS[name]({"model": STATE, "extra": Payload(call, argument)}, path)
    torch.load(path, weights_only=False)  # the payload is live
    marker.rmdir()
    message = f" holds pickled code ({culprit}), which is never run; save model.state_dict() instead"
    assert refusal(path) == message
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_bare_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Payload(os.mkdir, str(marker)), protocol))
    pickle.loads(path.read_bytes())
    marker.rmdir()
    assert refusal(path) in (
        " holds pickled code (posix.mkdir), which is never run; save model.state_dict() instead",
        NOT_SAVED,
    )
    assert not marker.exists()


def obeyed(lines: str, folder: Path) -> None:
    """Do what a refusal advises, where the file lies."""
    with contextlib.chdir(folder):
        exec(lines, {"torch": torch})


@pytest.mark.parametrize("name", PICKLERS)
def test_a_whole_module_is_refused(tmp_path: Path, name: str) -> None:
    PICKLERS[name](nn.Sequential(nn.Linear(2, 2)), tmp_path / name)
    linear = "torch.nn.modules.container.Sequential, torch.nn.modules.linear.Linear"
    culprits = linear if name == "zip.pt" else "torch.nn.modules.container.Sequential"  # legacy: the first it meets
    out = f"{Path(name).stem}-state.pt"
    two_lines = f"m = torch.load('{name}', weights_only=False); torch.save(m.state_dict(), '{out}')"
    expected = f" holds a whole module ({culprits}), which is code; {TRUSTED}: {two_lines}"
    assert refusal(tmp_path / name) == expected
    obeyed(two_lines, tmp_path)
    assert load(tmp_path / out).tensors.keys() == {"0.weight", "0.bias"}


@pytest.mark.parametrize("name", ["held.pt", "a user's.pt"])
def test_a_whole_module_in_a_dict_is_refused(tmp_path: Path, name: str) -> None:
    torch.save({"epoch": 3, "model": nn.Linear(2, 2), "note": "x"}, tmp_path / name)
    out = f"{Path(name).stem}-state.pt"
    two_lines = f"m = torch.load({name!r}, weights_only=False)['model']; torch.save(m.state_dict(), {out!r})"
    culprits = "torch.nn.modules.linear.Linear"
    assert refusal(tmp_path / name) == f" holds a whole module ({culprits}), which is code; {TRUSTED}: {two_lines}"
    obeyed(two_lines, tmp_path)
    assert load(tmp_path / out).tensors.keys() == {"weight", "bias"}


def test_where_no_dict_can_be_seen_to_hold_the_module(tmp_path: Path) -> None:
    """It has a part called model itself; or the file is damaged where Python looks and torch does not."""
    path = tmp_path / "x.pt"
    torch.save(nn.ModuleDict({"model": nn.Linear(2, 2)}), path)
    assert "weights_only=False); torch.save(" in refusal(path)
    torch.save({"model": nn.Linear(2, 2)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] ^= 128  # the version of zip that it takes to read it
    path.write_bytes(content)
    assert "weights_only=False); torch.save(" in refusal(path)


@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "x.pt"))
    two_lines = "m = torch.jit.load('x.pt'); torch.save(m.state_dict(), 'x-state.pt')"
    expected = f" is a TorchScript archive, which is code; if you trust it, convert it: {two_lines}"
    assert refusal(tmp_path / "x.pt") == expected
    obeyed(two_lines, tmp_path)
    assert load(tmp_path / "x-state.pt").tensors.keys() == {"weight", "bias"}


CARELESS = """
import sys, torch
from pathlib import Path
from scalecurv.data.load import load_data
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError, Misuse
path, marker = Path(sys.argv[1]), Path(sys.argv[2])
torch.load(path)  # the environment disarms torch's own default: the payload runs
marker.rmdir()
for read, refused in ((load, CheckpointError), (load_data, Misuse)):
    try:
        read(path)
    except refused as error:
        print(error)
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
    checkpoint, data = done.stdout.splitlines()
    assert checkpoint.endswith("holds pickled code (posix.mkdir), which is never run; save model.state_dict() instead")
    more = "holds more than tensors, or is damaged; nothing pickled is ever run: save tensors x and y"
    assert data == f"--data {path} {more}"
    assert not marker.exists()
