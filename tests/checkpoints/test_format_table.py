"""Every format that people have, and what lies beside the weights: docs/checkpoints.md has the outcome. None is run."""

from pathlib import Path

import pytest
import torch

from scalecurv.checkpoints.discover import discover
from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.checkpoints.model import build_mlp
from scalecurv.errors import CheckpointError
from tests.checkpoints.formats import READABLE, REFUSED
from tests.checkpoints.poison import PICKLE_FREE, read_carelessly, ways_of
from tests.checkpoints.wrapped import NO_CHECKPOINT, WRAPPED
from tests.pages import check_table, code, row

RNG = torch.Generator().manual_seed(0)
STATE = {
    "0.weight": torch.randn(5, 6, generator=RNG),
    "0.bias": torch.randn(5, generator=RNG),
    "2.weight": torch.randn(3, 5, generator=RNG),
    "2.bias": torch.randn(3, generator=RNG),
}
STEP = 7
WRITERS = {**READABLE, **{name: writer for name, (writer, _) in REFUSED.items()}}
FORMATS = row("format", "as it comes", "with a payload pickled into it")
CONTENTS = row("around the weights, or beside them", "outcome")
OTHERS = row("what it is", "the line, after the path")
READ, ADVISED = "read", "refused, with advice"
HARMLESS, NOT_RUN = "read, nothing is run", "refused, nothing is run"
NO_CODE, OWN_CODE = "no pickle in it", "its own code is not run"


@pytest.fixture(scope="module")
def plainly_saved(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(READABLE["state_dict .pt"](tmp_path_factory.mktemp("plain"), STATE, STEP))


def new_folder(within: Path) -> Path:
    folder = within / str(len(list(within.iterdir())))
    folder.mkdir()
    return folder


def check_read(path: Path, plainly_saved: Checkpoint) -> None:
    checkpoint = load(path)
    assert checkpoint.fingerprint == plainly_saved.fingerprint, path
    assert checkpoint.tensors.keys() == STATE.keys()
    assert all(torch.equal(checkpoint.tensors[layer], STATE[layer]) for layer in STATE)


def refusal(path: Path) -> str:
    """Return the one line that a checkpoint is refused with, less its path."""
    with pytest.raises(CheckpointError) as caught:
        build_mlp(load(path), "relu", flatten=False)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path)).lstrip(": ")


def poisoned(name: str, tmp_path: Path, plainly_saved: Checkpoint) -> str:
    """Return the outcome of a format with each payload that can be put into it; the payload is live, and does not run.

    It is read where the payload lies beside the weights, and refused where it takes the place of one.
    """
    outcomes = set()
    for poison in ways_of(name):
        folder = new_folder(tmp_path)
        path, marker = WRITERS[name](folder, STATE, STEP), tmp_path / f"marker of {folder.name}"
        poison(path, marker)
        try:
            load(path)
        except CheckpointError:
            assert refusal(path)
            outcomes.add(NOT_RUN)
        else:
            check_read(path, plainly_saved)
            outcomes.add(HARMLESS)
        assert not marker.exists(), name
        read_carelessly(path)
        assert marker.exists(), name  # the payload was live
    if not outcomes:
        return NO_CODE if name in PICKLE_FREE else OWN_CODE
    return HARMLESS if HARMLESS in outcomes else NOT_RUN


def test_the_table_of_formats(tmp_path: Path, plainly_saved: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run, not even where the environment tells torch to run it."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    rows = []
    for name, writer in READABLE.items():
        path = writer(new_folder(tmp_path), STATE, STEP)
        check_read(path, plainly_saved)
        assert load(path).step == STEP, name
        rows.append(row(name, READ, poisoned(name, tmp_path, plainly_saved)))
    for name, (writer, advice) in REFUSED.items():
        assert advice in refusal(writer(new_folder(tmp_path), STATE, STEP))
        rows.append(row(name, ADVISED, poisoned(name, tmp_path, plainly_saved)))
    check_table("checkpoints.md", FORMATS, rows)


def test_the_table_of_what_lies_beside(tmp_path: Path, plainly_saved: Checkpoint) -> None:
    """Of all that is in a folder, the file of the weights alone is taken for a checkpoint."""
    rows = []
    for name, writer in WRAPPED.items():
        folder = new_folder(tmp_path)
        path = writer(folder, STATE, STEP)
        assert discover([folder]) == [path], name
        check_read(path, plainly_saved)
        assert load(path).step == STEP, name
        rows.append(row(name, READ))
    check_table("checkpoints.md", CONTENTS, rows)


def test_the_table_of_what_is_no_checkpoint(tmp_path: Path) -> None:
    rows = []
    for name, (writer, advice) in NO_CHECKPOINT.items():
        line = refusal(writer(new_folder(tmp_path), STATE, STEP))
        assert advice in line
        rows.append(row(name, code(line)))
    check_table("checkpoints.md", OTHERS, rows)
