"""last and best: a copy of another checkpoint is not another row, and never hides one that is."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalecurv.analysis import Request
from scalecurv.checkpoints.step import is_alias
from scalecurv.measures import measures_named
from scalecurv.record import Outcome
from scalecurv.results.query import open_store
from scalecurv.sweeps import execute as sweep_module
from scalecurv.sweeps.work import Sweep, find_work
from tests.commands import analyze
from tests.runs import carry_out, gradient_sweep, write_checkpoint


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return gradient_sweep(tmp_path)


def stored(sweep: Sweep) -> list[str]:
    return [Path(path).name for path in open_store(sweep.store).results()["checkpoint"]]


def said(outcomes: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(Path(o.path).name, o.status, Path(o.error).name) for o in outcomes]


def copied(sweep: Sweep, original: str, name: str) -> Path:
    """Write the weights of `original` to a second file whose other content differs; return its path."""
    run = sweep.checkpoints[0]
    content = torch.load(run / original, weights_only=True)
    (run / name).parent.mkdir(exist_ok=True)
    torch.save({**content, "kept because": "it was the last"}, run / name)
    return run / name


def test_a_copy_by_another_name_is_no_row_and_no_work_the_next_time(sweep: Sweep) -> None:
    copied(sweep, "step_2.pt", "last.ckpt")
    copied(sweep, "step_1.pt", "best_model.pt")
    outcomes = carry_out(sweep)
    assert said(outcomes) == [
        *((f"step_{i}.pt", "ok", "") for i in range(3)),
        ("best_model.pt", "twin", "step_1.pt"),
        ("last.ckpt", "twin", "step_2.pt"),
    ]
    assert stored(sweep) == ["step_0.pt", "step_1.pt", "step_2.pt"]
    assert find_work(sweep).todo == ()
    more = replace(sweep, request=Request(measures_named(("moments",))))
    assert [Path(path).name for path in find_work(more).todo] == ["step_0.pt", "step_1.pt", "step_2.pt"]
    assert [Path(path).name for path in find_work(replace(sweep, rehash=True)).todo][3:] == [
        "best_model.pt",
        "last.ckpt",
    ]


def test_one_that_equals_no_other_is_a_row(sweep: Sweep) -> None:
    write_checkpoint(sweep.checkpoints[0] / "last.pt", seed=9, step=9)
    assert said(carry_out(sweep))[3:] == [("last.pt", "ok", "")]
    assert stored(sweep) == ["step_0.pt", "step_1.pt", "step_2.pt", "last.pt"]


def test_the_twin_may_have_been_analysed_long_ago(sweep: Sweep) -> None:
    carry_out(sweep)
    copied(sweep, "step_0.pt", "last.pt")
    assert said(carry_out(sweep)) == [("last.pt", "twin", "step_0.pt")]
    copied(sweep, "step_1.pt", "last.pt")  # overwritten, as training does
    assert said(carry_out(sweep)) == [("last.pt", "twin", "step_1.pt")]
    write_checkpoint(sweep.checkpoints[0] / "last.pt", seed=9)
    assert said(carry_out(sweep)) == [("last.pt", "ok", "")]
    assert stored(sweep) == ["step_0.pt", "step_1.pt", "step_2.pt", "last.pt"]


def test_without_its_twin_among_the_files_it_stands_for_itself(sweep: Sweep) -> None:
    last = copied(sweep, "step_0.pt", "last.pt")
    alone = replace(sweep, checkpoints=(last,))
    assert said(carry_out(alone)) == [("last.pt", "ok", "")]
    assert stored(alone) == ["last.pt"]


def test_two_aliases_of_one_that_is_gone_are_two_rows(sweep: Sweep) -> None:
    for name in ("last.pt", "best/model.pt"):
        copied(sweep, "step_0.pt", name)
    (sweep.checkpoints[0] / "step_0.pt").unlink()
    assert {status for name, status, _ in said(carry_out(sweep))} == {"ok"}
    assert sorted(stored(sweep)) == ["last.pt", "model.pt", "step_1.pt", "step_2.pt"]


def test_other_names_are_other_checkpoints_whatever_they_hold(sweep: Sweep) -> None:
    shutil.copyfile(sweep.checkpoints[0] / "step_2.pt", sweep.checkpoints[0] / "step_3.pt")
    assert {status for _, status, _ in said(carry_out(sweep))} == {"ok"}
    assert len(stored(sweep)) == 4


def test_it_does_not_matter_who_is_done_first(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that run side by side may end in any order."""
    copied(sweep, "step_2.pt", "best.pt")
    in_order = sweep_module.run
    monkeypatch.setattr(sweep_module, "run", lambda *args: reversed(list(in_order(*args))))
    outcomes = carry_out(sweep)
    assert said(outcomes)[3:] == [("best.pt", "twin", "step_2.pt")]
    assert stored(sweep) == ["step_0.pt", "step_1.pt", "step_2.pt"]


def test_the_command_says_who_stands_for_whom(sweep: Sweep) -> None:
    last, run = copied(sweep, "step_2.pt", "last.pt"), sweep.checkpoints[0]
    result = analyze(run, sweep.store, "--measure", "gradient")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [f"{last} equals {run / 'step_2.pt'}, which stands for it"]
    assert result.stdout.startswith("3 of 3 checkpoint(s) stored in ")


@pytest.mark.parametrize(
    ("path", "alias"),
    [
        ("run/last.ckpt", True),
        ("run/last-v1.ckpt", True),
        ("run/best_model.pt", True),
        ("run/model_BEST.pth", True),
        ("run/latest.pt", True),
        ("run/final.pt", True),
        ("run/checkpoint-best/model.safetensors", True),
        ("best/model.pt", True),
        ("run/step_100.pt", False),
        ("run/epoch=3-step=100.ckpt", False),
        ("blast/lasting.pt", False),
        ("best_run_of_all/model.pt", False),
        ("bestiary.pt", False),
    ],
)
def test_names(path: str, alias: bool) -> None:
    assert is_alias(Path(path)) is alias
