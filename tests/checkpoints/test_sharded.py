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


def test_a_tensor_that_is_not_where_it_should_be(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    save_file({"0.bias": STATE["0.bias"]}, shard)
    assert refusal(folder) == f"{shard} holds no 0.weight, which {INDEX} says it does"


def test_what_a_shard_holds_beyond_is_no_part_of_it(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    before = load(folder).fingerprint
    save_file({name: STATE[name] for name in ("0.bias", "0.weight")} | {"stray": torch.ones(1)}, shard)
    assert load(folder).fingerprint == before


def test_of_both_kinds_safetensors_are_read(folder: Path) -> None:
    before = load(folder).fingerprint
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"w": "gone.bin"}}))
    assert load(folder).fingerprint == before


def test_one_shard_by_itself(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    advice = "give the directory, with the index (*.index.json) that names them all"
    assert refusal(shard) == f"{shard} is one shard of several; {advice}"
