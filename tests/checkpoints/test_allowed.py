"""Globals that the user vouches for: classes of plain data, and nothing that could run something else."""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scalecurv.checkpoints.allowed import DENIED, allowed_globals, may_be_allowed
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError, Misuse
from tests.commands import analyze
from tests.runs import write_run

STATE = {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3)}
EXTRAS = {
    "argparse.Namespace": argparse.Namespace(lr=0.1),
    "pathlib.PosixPath": Path("/runs/a"),
    "collections.Counter": Counter("aab"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", EXTRAS)
def test_what_is_named_and_allowed(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": STATE, "args": EXTRAS[name]}, path, _use_new_zipfile_serialization=zipped)
    if name != "collections.Counter":  # torch knows it by now
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert str(caught.value) == (
            f"{path} holds {name}, which torch does not take for plain data; save model.state_dict() alone, or if you "
            f"know it for a class of plain data give --allow-global {name}"
        )
    assert load(path, (name,)).tensors.keys() == STATE.keys()
    torch.save({"model": STATE, "args": slice}, path)
    with pytest.raises(CheckpointError):  # one name is not all of them
        load(path, (name,))


def test_all_that_must_be_allowed_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": STATE, "args": argparse.Namespace(), "root": Path("/runs")}, path)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    names = ("argparse.Namespace", "pathlib.PosixPath")
    assert str(caught.value).endswith(" give " + " ".join(f"--allow-global {name}" for name in names))
    assert load(path, names).tensors.keys() == STATE.keys()


def test_it_is_for_one_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": STATE, "args": argparse.Namespace()}, path)
    load(path, ("argparse.Namespace",))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with pytest.raises(CheckpointError):
        load(path)


def test_numpy_scalars(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model": STATE, "best": np.float64(0.5)}, path)
    names = ("numpy._core.multiarray.scalar", "numpy.dtype", "numpy.dtypes.Float64DType")
    assert load(path, names).tensors.keys() == STATE.keys()


def test_what_nobody_may_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, message in [
        ("os.system", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("subprocess.Popen", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("builtins.eval", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("io.FileIO", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("Namespace", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("multiprocessing.Process", "could run anything; give a class of plain data, as argparse.Namespace"),
        ("torch.load", "is a function; give a class of plain data"),
        ("no.such.Thing", "cannot be imported (No module named 'no'); is its package installed?"),
        (
            "argparse.Nothing",
            "cannot be imported (module 'argparse' has no attribute 'Nothing'); is its package installed?",
        ),
        ("harmless.Thing", "is subprocess.Popen, which could run anything"),
    ]:
        monkeypatch.setitem(sys.modules, "harmless", SimpleNamespace(Thing=subprocess.Popen))  # by another name
        with pytest.raises(Misuse) as caught:
            allowed_globals((name,))
        assert str(caught.value) == f"--allow-global {name} {message}"


def test_advice_never_is_to_allow_code() -> None:
    assert not any(may_be_allowed(f"{module}.x") for module in DENIED)
    assert may_be_allowed("argparse.Namespace")


def test_from_the_command_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0])
    content = torch.load(run / "step_0.pt", weights_only=True)
    torch.save({**content, "args": argparse.Namespace(lr=0.1)}, run / "step_0.pt")
    refused = analyze(run, tmp_path / "store")
    assert refused.exit_code == 1
    assert "give --allow-global argparse.Namespace" in refused.output
    assert analyze(run, tmp_path / "store", "--allow-global", "argparse.Namespace").exit_code == 0
    harmful = analyze(run, tmp_path / "store", "--allow-global", "os.system", "--rehash")
    assert harmful.exit_code == 2
    assert harmful.output.startswith("scalecurv: --allow-global os.system could run anything")
