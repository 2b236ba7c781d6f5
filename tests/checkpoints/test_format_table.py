"""Every format that people have: read alike, refused with advice, never run. docs/checkpoints.md has the outcome."""

from pathlib import Path

import pytest
import torch

from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.errors import CheckpointError
from tests.checkpoints.formats import READABLE, REFUSED
from tests.checkpoints.poison import PICKLE_FREE, read_carelessly, ways_of

DOCUMENT = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
RNG = torch.Generator().manual_seed(0)
STATE = {
    "0.weight": torch.randn(5, 6, generator=RNG),
    "0.bias": torch.randn(5, generator=RNG),
    "2.weight": torch.randn(3, 5, generator=RNG),
    "2.bias": torch.randn(3, generator=RNG),
}
STEP = 7
WRITERS = {**READABLE, **{name: writer for name, (writer, _) in REFUSED.items()}}
READ, ADVISED, NOT_RUN, NO_CODE = "read", "refused, with advice", "refused, not run", "no pickle in it"
OUTCOMES: dict[str, list[str]] = {}  # format -> what became of it, and of a poisoned one


@pytest.fixture(scope="module")
def plainly_saved(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(READABLE["state_dict .pt"](tmp_path_factory.mktemp("plain"), STATE, STEP))


@pytest.mark.xdist_group("formats")
def test_the_same_weights_whatever_they_rest_in(tmp_path: Path, plainly_saved: Checkpoint) -> None:
    for name in READABLE:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        checkpoint = load(READABLE[name](folder, STATE, STEP))
        assert checkpoint.fingerprint == plainly_saved.fingerprint
        assert checkpoint.tensors.keys() == STATE.keys()
        assert all(torch.equal(checkpoint.tensors[layer], STATE[layer]) for layer in STATE)
        assert checkpoint.step == STEP
        OUTCOMES.setdefault(name, []).append(READ)


@pytest.mark.xdist_group("formats")
def test_what_is_no_state_is_refused_with_advice(tmp_path: Path) -> None:
    for name in REFUSED:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        writer, advice = REFUSED[name]
        path = writer(folder, STATE, STEP)
        with pytest.raises(CheckpointError) as caught:
            load(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert advice in message
        assert "\n" not in message
        OUTCOMES.setdefault(name, []).append(ADVISED)


@pytest.mark.xdist_group("formats")
def test_what_is_pickled_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the environment tells torch to run it."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for name in WRITERS:
        for poison in ways_of(name):
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            path, marker = WRITERS[name](folder, STATE, STEP), tmp_path / f"marker of {folder.name}"
            poison(path, marker)
            with pytest.raises(CheckpointError) as caught:
                load(path)
            assert not marker.exists(), name
            assert "mkdir" in str(caught.value) or name in REFUSED  # what would have run
            assert "\n" not in str(caught.value)
            read_carelessly(path)
            assert marker.exists(), name  # the payload was live
        OUTCOMES.setdefault(name, []).append(NO_CODE if name in PICKLE_FREE else NOT_RUN)


@pytest.mark.xdist_group("formats")
def test_the_table_in_the_documents_is_this() -> None:
    """From what the tests above saw, whichever of them ran."""
    rows = {name: f"| {name} | {' | '.join(seen)} |" for name, seen in OUTCOMES.items() if len(seen) == 2}
    assert rows
    missing = [row for row in rows.values() if row not in DOCUMENT]
    assert not missing, "docs/checkpoints.md lacks:\n" + "\n".join(rows[name] for name in WRITERS if name in rows)
