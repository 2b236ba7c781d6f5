"""Checkpoints of torch.distributed: put together from chunks, read without running their metadata."""

import dataclasses
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata

from scalecurv.checkpoints import distributed
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from tests.checkpoints import poison
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP

NONE = ", no metadata of a distributed checkpoint; copy the directory again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return READABLE["distributed"](tmp_path, STATE, STEP)


def altered(folder: Path, change: Callable[[Metadata], Any]) -> str:
    """What is said once the metadata is changed."""
    metadata = dcp.FileSystemReader(folder).read_metadata()
    change(metadata)
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


def first(metadata: Metadata) -> Any:
    return next(place for place in metadata.storage_data if place.fqn == "model.0.weight")


def test_optimizer_states_are_never_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    read = distributed._bytes_of
    monkeypatch.setattr(distributed, "_bytes_of", lambda place, part: taken.append(part.start) or read(place, part))
    load(folder)
    assert len(taken) == len(STATE) + 1  # and the step


def test_as_the_recipe_of_distributed_checkpoints_saves_it(tmp_path: Path) -> None:
    content = {"app": {"model": STATE, "optim": {"0.weight": torch.ones(2)}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(content, checkpoint_id=tmp_path / "a")
    tensors = load(tmp_path / "a").tensors
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[layer], tensor) for layer, tensor in STATE.items())


def test_chunks_are_put_where_they_belong(folder: Path) -> None:
    """A matrix in four chunks, as four ranks would have left it."""
    metadata = dcp.FileSystemReader(folder).read_metadata()
    place, weight = first(metadata), STATE["0.weight"]
    info = metadata.storage_data.pop(place)
    for i, (rows, columns) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4)]):
        part = weight[rows : rows + 3 if rows == 0 else 5, columns : columns + 4 if columns == 0 else 6].clone()
        name = f"__{i + 1}_0.distcp"
        torch.save(part, folder / name)
        there = type(place)(place.fqn, torch.Size([rows, columns]), i)
        length = (folder / name).stat().st_size
        metadata.storage_data[there] = type(info)(relative_path=name, offset=0, length=length)
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert torch.equal(load(folder).tensors["0.weight"], weight)
    (folder / "__2_0.distcp").unlink()
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    message = f"{folder} is no readable distributed checkpoint: FileNotFoundError: "
    assert str(caught.value).startswith(message)


def test_a_chunk_that_is_missing(folder: Path) -> None:
    def drop(metadata: Metadata) -> None:
        place = first(metadata)
        metadata.state_dict_metadata[place.fqn].size = torch.Size([6, 6])

    message = "ValueError: model.0.weight has 30 of 36 numbers"
    assert altered(folder, drop) == f"{folder} is no readable distributed checkpoint: {message}"


def test_overlapping_chunks_leave_a_hole_that_shows(folder: Path) -> None:
    def twice(metadata: Metadata) -> None:
        place = first(metadata)
        again = type(place)(place.fqn, torch.Size([4, 0]), 1)
        metadata.storage_data[again] = metadata.storage_data[place]
        metadata.state_dict_metadata[place.fqn].size = torch.Size([10, 6])

    assert altered(folder, twice).endswith("0.weight holds 6 NaN(s); the run diverged before it")


@pytest.mark.parametrize("path", ["../elsewhere.distcp", "/etc/passwd"])
def test_parts_must_lie_inside(folder: Path, path: str) -> None:
    def lead_away(metadata: Metadata) -> None:
        metadata.storage_data[first(metadata)].relative_path = path

    message = f"ValueError: it names {path!r}, outside its directory"
    assert altered(folder, lead_away) == f"{folder} is no readable distributed checkpoint: {message}"


def test_parts_that_are_packed(folder: Path) -> None:
    def pack(metadata: Metadata) -> None:
        metadata.storage_data[first(metadata)].transform_descriptors = ["zstd"]

    message = "ValueError: its parts are stored as zstd; save them as they are"
    assert altered(folder, pack) == f"{folder} is no readable distributed checkpoint: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is empty; write it again"),
        (pickle.dumps({"a": 1}), f" holds a dict{NONE}"),
        (
            b"cbuiltins\neval\n(S'1'\ntR.",
            f" holds a builtins.eval{NONE}",
        ),
        (pickle.dumps(Path("/tmp")), f" holds a str{NONE}"),
        (b"\x80\x04}", " is no file that torch.save wrote, or it is damaged; save model.state_dict() with torch.save"),
    ],
)
def test_metadata_that_is_none(folder: Path, content: bytes, message: str) -> None:
    (folder / ".metadata").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert str(caught.value) == f"{folder / '.metadata'}{message}"


def test_parts_of_metadata_that_are_none(folder: Path) -> None:
    """Whatever stands in the place of a shape, a dtype, a part or its place is refused in one line."""
    changes: list[tuple[Callable[[Metadata], Any], str]] = [
        (lambda m: setattr(m.state_dict_metadata["model.0.weight"], "size", "x"), "a tensor without a shape"),
        (lambda m: setattr(m.state_dict_metadata["model.0.weight"], "properties", 1), "a tensor without a dtype"),
        (lambda m: m.storage_data.update({1: 2}), "has no list of the parts of its tensors"),
        (lambda m: setattr(m.storage_data[first(m)], "offset", "x"), "a part of a tensor without a place"),
        (lambda m: setattr(m.storage_data[first(m)], "relative_path", None), "a part of a tensor without a place"),
        (lambda m: m.storage_data.pop(first(m)), "is no readable distributed checkpoint: "),
    ]
    honest = (folder / ".metadata").read_bytes()
    for change, reason in changes:
        message = altered(folder, change)
        assert reason in message
        assert "\n" not in message
        (folder / ".metadata").write_bytes(honest)


def test_a_payload_in_the_metadata_is_never_run(folder: Path, tmp_path: Path) -> None:
    marker, honest = tmp_path / "marker", (folder / ".metadata").read_bytes()
    poison.metadata(folder, marker)
    assert load(folder).tensors.keys() == STATE.keys()
    assert not marker.exists()
    (folder / ".metadata").write_bytes(honest)
    poison.chunk(folder, marker)
    with pytest.raises(CheckpointError, match=r"a chunk of model.0.weight is a Placeholder$"):
        load(folder)
    assert not marker.exists()


def test_a_step_that_is_a_tensor(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": STATE, "step": torch.tensor(40), "epoch": torch.tensor([1.5])}, checkpoint_id=tmp_path / "a")
    found = load(tmp_path / "a")
    assert (found.step, found.epoch) == (40, 1.5)


def test_other_dtypes_and_a_state_of_one_number(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(3).bfloat16()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"state_dict": model.state_dict(), "epoch": 2.5}, checkpoint_id=tmp_path / "a")
    checkpoint = load(tmp_path / "a")
    assert {name: (t.dtype, t.shape) for name, t in checkpoint.tensors.items()} == {
        name: (t.dtype, t.shape) for name, t in model.state_dict().items()
    }
    assert (checkpoint.step, checkpoint.epoch) == (None, 2.5)


@pytest.mark.parametrize("length", [10**6, 10**15, 10**30, -1])
def test_bytes_that_are_not_there(folder: Path, length: int) -> None:
    def stretch(metadata: Metadata) -> None:
        metadata.storage_data[first(metadata)].length = length

    assert altered(folder, stretch).startswith(f"{folder} is no readable distributed checkpoint: ValueError: ")


def test_parts_that_are_named_again_and_again_hold_no_more(folder: Path) -> None:
    def repeat(metadata: Metadata) -> None:
        metadata.state_dict_metadata["model.0.weight"].size = torch.Size([300, 300])
        place = next(place for place in metadata.storage_data if place.fqn == "model.0.weight")
        copies = {dataclasses.replace(place, index=i): metadata.storage_data[place] for i in range(9, 500)}
        metadata.storage_data.update(copies)

    message = "ValueError: model.0.weight of shape (300, 300) has more numbers than its chunks have bytes"
    assert altered(folder, repeat) == f"{folder} is no readable distributed checkpoint: {message}"


def test_a_size_that_no_chunk_could_fill(folder: Path) -> None:
    def declare(metadata: Metadata) -> None:
        metadata.state_dict_metadata["model.0.weight"].size = torch.Size([20_000, 200_000])

    message = "ValueError: model.0.weight of shape (20000, 200000) has more numbers than its chunks have bytes"
    assert altered(folder, declare) == f"{folder} is no readable distributed checkpoint: {message}"
