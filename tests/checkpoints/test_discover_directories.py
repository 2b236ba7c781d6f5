"""Directories that are checkpoints: found as one, never looked into, in the company of files."""

import shutil
from pathlib import Path

import pytest

from scalecurv.checkpoints.discover import discover
from scalecurv.checkpoints.load import is_directory_checkpoint, load
from scalecurv.checkpoints.step import run_of
from scalecurv.errors import NothingFound
from tests.checkpoints.formats import READABLE
from tests.checkpoints.test_format_table import STATE, STEP

DIRECTORIES = ("sharded safetensors", "sharded .bin", "distributed", "distributed, bare")


@pytest.mark.parametrize("name", DIRECTORIES)
def test_one_directory_is_one_checkpoint(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    path = READABLE[name](run, STATE, STEP)
    (path / "step_2.pt").touch()
    (run / "step_3.pt").touch()
    assert is_directory_checkpoint(path)
    assert not is_directory_checkpoint(run)
    assert sorted(discover([tmp_path])) == sorted([path.resolve(), run.resolve() / "step_3.pt"])
    assert discover([path]) == [path.resolve()]
    assert run_of(path) == str(run)


def test_of_weights_in_two_files_the_safe_one(tmp_path: Path) -> None:
    path = READABLE["Hugging Face"](tmp_path, STATE, STEP)
    assert (path.parent / "pytorch_model.bin").is_file()
    assert discover([tmp_path]) == [path.resolve()]
    path.unlink()
    assert discover([tmp_path]) == [path.parent.resolve() / "pytorch_model.bin"]


def test_what_trainers_leave_beside_the_weights_is_no_checkpoint(tmp_path: Path) -> None:
    for name in (
        "checkpoint-5/optimizer.pt", "checkpoint-5/scheduler.pt", "checkpoint-5/rng_state.pth",
        "checkpoint-5/training_args.bin", "checkpoint-5/rng_state_0.pth", "checkpoint-5/scaler.pt",
        "global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(NothingFound):
        discover([tmp_path])
    (tmp_path / "global_step5/mp_rank_00_model_states.pt").touch()
    assert [path.name for path in discover([tmp_path])] == ["mp_rank_00_model_states.pt"]


def test_a_link_to_a_directory_that_is_listed_is_left_out(tmp_path: Path) -> None:
    path = READABLE["distributed"](tmp_path, STATE, STEP)
    (tmp_path / "latest").symlink_to(path.name)
    assert discover([tmp_path]) == [path.resolve()]
    assert discover([tmp_path / "latest"]) == [path.resolve()]


@pytest.mark.parametrize("name", ["pytorch_model_fsdp_0", "model_and_optim"])
def test_one_within_the_folder_of_its_step(tmp_path: Path, name: str) -> None:
    """As accelerate and OLMo lay them out, the optimizer in a directory of its own."""
    here = tmp_path / "step-300"
    READABLE["distributed, bare"](tmp_path, STATE, STEP).rename(here)
    for part in (name, "optimizer_0"):
        shutil.copytree(here, tmp_path / "run" / here.name / part)
    (path,) = discover([tmp_path / "run"])
    assert path.name == name
    assert load(path).step == 300
    assert run_of(path) == str(tmp_path / "run")


def test_they_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = READABLE["distributed"](tmp_path, STATE, STEP)
    for step in (100, 20):
        shutil.copytree(path, tmp_path / f"step-{step}")
    assert [found.name for found in discover([tmp_path])] == ["step-7", "step-20", "step-100"]


def test_a_trainer_leaves_its_last_model_above_the_others(tmp_path: Path) -> None:
    """Sharded at the top, checkpoint-N below: all of them; below a distributed one there is nothing."""
    top = READABLE["sharded safetensors"](tmp_path, STATE, STEP)
    below = READABLE["sharded .bin"](top, STATE, 3)
    other = READABLE["Hugging Face"](top, STATE, 5)
    assert discover([tmp_path]) == discover([top]) == [path.resolve() for path in (top, below, other)]
    distributed = READABLE["distributed"](top, STATE, 9)
    READABLE["safetensors"](distributed, STATE, 1)
    assert distributed.resolve() in discover([top])
    assert len(discover([top])) == 4
    assert discover([distributed]) == [distributed.resolve()]


def test_metadata_without_parts_is_that_of_something_else(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_text("project")
    READABLE["safetensors"](tmp_path, STATE, 1)
    assert [path.name for path in discover([tmp_path])] == ["step_1.safetensors"]


def test_shards_of_data_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("data/shard_0.safetensors", "data/train/shard_1.pt", "step_1.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in discover([tmp_path], exclude=[tmp_path / "data"])] == ["step_1.pt"]
