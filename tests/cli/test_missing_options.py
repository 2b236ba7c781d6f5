"""Options that are missing are told together, with a command line that would do; whoever follows it gets on."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import Result

from tests.commands import SERIAL, invoke
from tests.runs import write_checkpoint, write_data


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a run without problem.json, and data.npz beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my run").mkdir()
    for step in range(2):
        write_checkpoint(tmp_path / "my run" / f"step_{step}.pt", seed=step)
    write_data(tmp_path / "data.npz")
    return tmp_path


def advised(result: Result) -> list[str]:
    """The words of the command line that the one line of an error ends in."""
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    program, *words = shlex.split(result.stderr.partition("; for example: ")[2])
    assert program == "scalecurv"
    return words


@pytest.mark.parametrize("given", [(), ("--loss", "mse"), ("--data", "data.npz", "--activation", "tanh")])
def test_the_command_line_that_is_told_runs(bare: Path, given: tuple[str, ...]) -> None:
    words = ("analyze", "my run", "my store", "--measure", "gradient", *SERIAL, *given)
    followed = invoke(*advised(invoke(*words)))
    assert followed.exit_code == 0
    assert followed.stdout.startswith("2 of 2 checkpoint(s) stored in ")
    assert (bare / "my store" / "parts").is_dir()


def test_a_dry_run_tells_the_same(bare: Path) -> None:
    assert invoke(*advised(invoke("analyze", "my run", "store", "--dry-run"))).exit_code == 0
    assert not (bare / "store").exists()


def test_the_file_that_is_told_does_too(bare: Path) -> None:
    words = ("analyze", "my run", "store", "--measure", "gradient", *SERIAL)
    line = invoke(*words).stderr
    content, _, file = line.partition("; for example: ")[0].partition(", or write ")[2].partition(" into ")
    Path(file).write_text(content)
    following = invoke(*words)  # paths in the file are relative to it
    assert following.stderr.startswith(f"scalecurv: --data {bare}/my run/data.npz does not exist; give a file ")
    Path(file).write_text(json.dumps({**json.loads(content), "data": "../data.npz"}))
    assert invoke(*words).exit_code == 0


@pytest.mark.parametrize("words", [("rank", "my run/step_0.pt", "--no-functional-dimension"), ("planes", "my run")])
def test_other_commands_tell_theirs(bare: Path, words: tuple[str, ...]) -> None:
    write_checkpoint(bare / "my run" / "step_2.pt", seed=2)
    again = advised(invoke(*words))
    assert ("--loss" in again) == (words[0] == "planes")  # the rank depends on no loss
    assert ("--no-functional-dimension" in again) == (words[0] == "rank")
    assert invoke(*again).exit_code == 0


def test_a_model_that_is_no_mlp_is_told_from_the_start(bare: Path) -> None:
    for path in (bare / "my run").iterdir():
        torch.save({"conv.weight": torch.ones(2, 1, 3, 3)}, path)
    words = advised(invoke("analyze", "my run", "store"))
    assert words[words.index("--model") + 1] == "pkg.mod:factory"
    assert "--activation" not in words
    following = invoke(*words)
    assert following.stderr.startswith("scalecurv: --model pkg.mod:factory cannot be imported (")


def test_paths_that_look_like_options_are_quoted(bare: Path) -> None:
    (bare / "my run").rename(bare / "-run")
    words = advised(invoke("analyze", "--measure", "gradient", *SERIAL, "--", "-run", "store"))
    assert words[-3:] == ["--", "-run", "store"]
    assert invoke(*words).exit_code == 0
