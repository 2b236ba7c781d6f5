"""Pickles that act: the payloads are live, and our reader runs none of them, in whatever file they come."""

import contextlib
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from scalecurv.errors import CheckpointError
from scalecurv.pickles.read import read_content
from tests.pickles.payloads import CONTAINERS, beside, live, registered

ROOT = Path(__file__).parents[2]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def written(folder: Path, marker: Path) -> list[Path]:
    """Return the files of every payload, alone and beside plain data, in every kind of file."""
    files = []
    for name, pickled in live(marker).items():
        for kind, container in CONTAINERS.items():
            for i, content in enumerate((pickled, beside(pickled))):
                files.append(folder / f"{name} {kind} {i}.pt")
                files[-1].write_bytes(container(content))
    return files


def test_each_payload_is_live(marker: Path) -> None:
    with registered():
        for name, pickled in live(marker).items():
            with contextlib.suppress(Exception):  # whatever else is wrong with it
                pickle.loads(pickled)
            assert marker.exists(), name
            marker.rmdir()


def test_none_is_run(tmp_path: Path, marker: Path) -> None:
    with registered():
        for file in written(tmp_path, marker):
            with contextlib.suppress(CheckpointError):
                content = read_content(file)
                assert "beside" not in file.name or content["a"] == 1
            assert not marker.exists(), file


def test_what_lies_beside_is_read(tmp_path: Path, marker: Path) -> None:
    """A payload in a dict is a placeholder; the number beside it is a number. Two are refused, and say why."""
    refused = {}
    for name, pickled in live(marker).items():
        (tmp_path / "x.pt").write_bytes(CONTAINERS["zip"](beside(pickled)))
        try:
            assert read_content(tmp_path / "x.pt")["a"] == 1
        except CheckpointError as error:
            refused[name] = str(error)
    assert refused.keys() <= {"bytes of a storage"}


READER = """
import sys
from pathlib import Path
from scalecurv.checkpoints.load import load
from scalecurv.data.load import load_data
from scalecurv.errors import CheckpointError, Misuse
read = refused = 0
for file in sorted(Path(sys.argv[1]).glob("*.pt")):
    for call in (load, load_data):
        try:
            call(file)
            read += 1
        except (CheckpointError, Misuse) as error:
            assert "\\n" not in str(error) and "weights_only=False" not in str(error)
            refused += 1
print(read, refused)
assert "harmful" not in sys.modules
"""


def test_an_environment_that_disarms_torch_does_not_disarm_us(tmp_path: Path, marker: Path) -> None:
    """Nor is a module imported that a pickle names, though it lies where Python would find it."""
    files = written(tmp_path, marker)
    (tmp_path / "harmful.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    (tmp_path / "imports.pt").write_bytes(CONTAINERS["zip"](b"charmful\nthing\n."))
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", READER, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read == 0  # none holds a tensor
    assert refused == 2 * (len(files) + 1)
    assert not marker.exists()


def test_torch_runs_such_files(tmp_path: Path, marker: Path) -> None:
    """The files are what torch would read: its own reader runs the payload where it is told to."""
    for kind in ("zip", "legacy"):
        (tmp_path / "x.pt").write_bytes(CONTAINERS[kind](beside(live(marker)["REDUCE"])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(tmp_path / "x.pt", weights_only=False)
        marker.rmdir()


def test_no_reader_of_others_is_called() -> None:
    """The library reads no file of a user with a reader that could run it."""
    calls = ("torch.load(", "pickle.load(", "pickle.loads(", "jit.load(", "Unpickler(", "allow_pickle=True")
    strays = [
        (str(file), call)
        for file in (ROOT / "scalecurv").rglob("*.py")
        for call in calls
        if call in file.read_text() and f'"{call}' not in file.read_text()
    ]
    assert strays == []
