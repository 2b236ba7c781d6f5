"""Every format cut short, with a flipped bit, or replaced while it is read: one line, or weights of another name."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from scalecurv.checkpoints import load as loading
from scalecurv.checkpoints.load import load, stamp_of
from scalecurv.errors import CheckpointError
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP

FORMATS = ["before zip files", "model with optimizer", "safetensors", "Hugging Face", "sharded safetensors",
           "sharded .bin", "distributed", "distributed, bare"]  # fmt: skip
TRIALS = 24


def parts_of(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path.parent) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_cut_short(tmp_path: Path, name: str) -> None:
    """Whatever the weights rest in; what is beside them, at the end of the same file or in another, may be cut."""
    path = READABLE[name](tmp_path, STATE, STEP)
    whole, fingerprint = {part: part.read_bytes() for part in parts_of(path)}, load(path).fingerprint
    rng = random.Random(0)
    for part, content in whole.items():
        for share in (0.0, rng.uniform(0.0, 0.5), 0.99):
            part.write_bytes(content[: int(len(content) * share)])
            if _needed(part) and not (name == "distributed" and part.suffix == ".distcp" and share > 0.5):
                assert refusal(path).count(str(path)) <= 2
            else:
                assert load(path).fingerprint == fingerprint
        part.write_bytes(content)
    assert load(path).fingerprint == fingerprint


def _needed(part: Path) -> bool:
    beside = part.stem in ("optimizer", "scheduler", "rng_state") or part.name in ("config.json", "trainer_state.json")
    return not beside and not (part.name == "pytorch_model.bin" and (part.parent / "model.safetensors").exists())


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_bit(tmp_path: Path, name: str) -> None:
    """Formats without checksums take it for a number: then the weights are others, and say so."""
    path = READABLE[name](tmp_path, STATE, STEP)
    parts = [part for part in parts_of(path) if _needed(part)]
    before, rng, seen = load(path).fingerprint, random.Random(0), set()
    for _ in range(TRIALS):
        part = rng.choice(parts)
        content = bytearray(part.read_bytes())
        whole = bytes(content)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        part.write_bytes(content)
        try:
            after = load(path)
        except CheckpointError:
            seen.add("refused")
        else:
            same = after.tensors.keys() == STATE.keys() and all(
                torch.equal(after.tensors[layer], tensor) and after.tensors[layer].dtype == tensor.dtype
                for layer, tensor in STATE.items()
            )
            assert (after.fingerprint == before) == same
            seen.add("same" if same else "others")
        part.write_bytes(whole)
    assert "refused" in seen


@pytest.mark.parametrize("name", ["sharded safetensors", "distributed"])
@pytest.mark.parametrize("swap", ["replaced", "touched", "gone"])
def test_a_directory_that_changes_while_it_is_read(
    tmp_path: Path, name: str, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = READABLE[name](tmp_path, STATE, STEP)
    part = next(p for p in parts_of(path) if p.suffix in (".safetensors", ".distcp"))
    read = loading._content

    def meanwhile(*args: object) -> object:
        content = read(*args)  # type: ignore[arg-type]
        if swap == "replaced":
            shutil.copyfile(part, tmp_path / "new")
            (tmp_path / "new").replace(part)
        elif swap == "touched":
            part.touch()
        else:
            part.unlink()
        return content

    monkeypatch.setattr(loading, "_content", meanwhile)
    assert refusal(path).endswith(f"{path} changed while it was read; run again once it is written")


def test_the_stamp_of_a_directory_is_that_of_what_is_read(tmp_path: Path) -> None:
    path = READABLE["sharded safetensors"](tmp_path, STATE, STEP)
    before = stamp_of(path)
    assert before.path == str(path)
    (path / "notes.txt").write_text("no part of it")
    (path / "optimizer.pt").write_bytes(b"")
    assert stamp_of(path) == before
    shards = sorted(path.glob("*.safetensors"))
    assert before.size == sum(part.stat().st_size for part in [*shards, path / "model.safetensors.index.json"])
    assert before.mtime_ns == max(part.stat().st_mtime_ns for part in [*shards, path / "model.safetensors.index.json"])
    shards[0].write_bytes(shards[0].read_bytes())  # the same bytes at another time
    assert stamp_of(path) != before
    shards[0].unlink()
    assert refusal(path).startswith(f"{shards[0]} is missing, model.safetensors.index.json beside it names it")
