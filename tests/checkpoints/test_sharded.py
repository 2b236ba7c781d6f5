"""Indices of shards: what they name must lie beside them and hold what they say."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP

INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return READABLE["sharded safetensors"](tmp_path, STATE, STEP)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", " cannot be read as JSON: "),
        ([], " holds no weight_map of names and files"),
        ({"weight_map": {}}, " holds no weight_map of names and files"),
        ({"weight_map": {"w": 3}}, " holds no weight_map of names and files"),
        ({"weight_map": {"w": "../x.safetensors"}}, " names '../x.safetensors'; shards must lie beside their index"),
        ({"weight_map": {"w": "/etc/passwd"}}, " names '/etc/passwd'; shards must lie beside their index"),
    ],
)
def test_what_is_no_index(folder: Path, content: Any, message: str) -> None:
    (folder / INDEX).write_text(content if isinstance(content, str) else json.dumps(content))
    assert refusal(folder).startswith(f"{folder / INDEX}{message}")


@pytest.mark.parametrize("file", ["b\x1b[31m\n.bin", "\ud800.bin", "x" * 10**6])
def test_names_and_sizes_that_no_terminal_should_see(folder: Path, file: str) -> None:
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"weight_map": {"0.weight": file}}))
    assert refusal(folder).isprintable()
    index.write_text(json.dumps(content | {"metadata": {"total_size": int("9" * 4000)}}))
    message = refusal(folder)
    assert "999 ... bytes" in message
    assert len(message) < 500


def test_a_tensor_that_is_not_where_it_should_be(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    save_file({"0.bias": STATE["0.bias"]}, shard)
    assert (
        refusal(folder) == f"{shard} holds no 0.weight, which {INDEX} says it does; copy all shards and the index again"
    )


def test_an_index_that_leaves_tensors_out_is_of_another_checkpoint(folder: Path) -> None:
    """What it names alone would be a smaller model."""
    content = json.loads((folder / INDEX).read_text())
    for name in ("2.weight", "0.bias"):
        smaller = {**content["weight_map"]}
        shard = folder / smaller.pop(name)
        (folder / INDEX).write_text(json.dumps({"weight_map": smaller}))
        message = f"{shard} holds {name}, which {INDEX} does not name; copy the index of these shards"
        assert refusal(folder) == message
    short = {**content, "metadata": {"total_size": content["metadata"]["total_size"] + 4}}
    (folder / INDEX).write_text(json.dumps(short))
    held = sum(tensor.nbytes for tensor in STATE.values())
    assert refusal(folder) == (
        f"{folder / INDEX} says that its tensors have {held + 4} bytes, and the shards hold {held}; copy the index and "
        f"all shards of one checkpoint"
    )
    for said in ({}, {"total_size": "?"}, {"total_size": float(held)}, None):
        (folder / INDEX).write_text(json.dumps({**content, "metadata": said}))
        assert load(folder).step == STEP


def test_tied_tensors_count_once_or_twice(tmp_path: Path) -> None:
    """In pickled shards both names are there; the size of an index counts storages."""
    weight = torch.ones(3, 3)
    file = "pytorch_model-00001-of-00001.bin"
    torch.save({"a.weight": weight, "b.weight": weight}, tmp_path / file)
    for size in (36, 72):
        index = {"metadata": {"total_size": size}, "weight_map": {"a.weight": file, "b.weight": file}}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        assert list(load(tmp_path).tensors) == ["a.weight", "b.weight"]


def test_a_shard_that_is_a_pointer(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    pointer = "is a pointer of git-lfs, not the file itself; run `git lfs pull` in its repository"
    assert refusal(folder) == f"{shard} {pointer}"


def test_of_both_kinds_safetensors_are_read(folder: Path) -> None:
    before = load(folder).fingerprint
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"w": "gone.bin"}}))
    assert load(folder).fingerprint == before


def test_one_shard_by_itself(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    advice = "give the directory, with the index (*.index.json) that names them all"
    assert refusal(shard) == f"{shard} is one shard of several; {advice}"
