"""One file with several contents: by --weights and --ignore, told apart in the store, each computed once."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import scalecurv as sc
from tests.commands import analyze, invoke
from tests.runs import WIDTHS, write_run

EMA = ("--weights", "ema.shadow")
STUDENT = ("--ignore", "^teacher[.]")


def state(seed: int, prefix: str = "") -> dict[str, Tensor]:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(WIDTHS[0], WIDTHS[1]), nn.ReLU(), nn.Linear(WIDTHS[1], WIDTHS[2]))
    return {prefix + name: tensor for name, tensor in net.state_dict().items()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two checkpoints with an average of the weights beside them."""
    folder = write_run(tmp_path / "run", [])
    for step in (1, 2):
        content = {"model": state(step), "ema": {"decay": torch.tensor(0.9), "shadow": state(step + 5)}, "step": step}
        torch.save(content, folder / f"step_{step}.pt")
    return folder


def stored(store: Path) -> list[tuple[str, str, int, float]]:
    """Return (weights, ignored, step, loss) as a query joins them."""
    sql = "select t.weights, t.ignored, r.step, r.loss from results r join tasks t using (task_id) order by 1, 2, 3"
    return list(sc.open_store(store).sql(sql).itertuples(index=False, name=None))


def test_each_choice_has_rows_of_its_own_and_none_is_computed_twice(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert analyze(run, store).stdout.startswith("2 of 2 checkpoint(s) stored")
    assert analyze(run, store, *EMA).stdout.startswith("2 of 2 checkpoint(s) stored")
    rows = stored(store)
    assert [row[:3] for row in rows] == [("", "", 1), ("", "", 2), ("ema.shadow", "", 1), ("ema.shadow", "", 2)]
    assert len({loss for *_, loss in rows}) == 4
    for words in ((), EMA):  # back and forth, nothing is read
        assert analyze(run, store, *words).stdout.startswith("everything is already there"), words
    assert stored(store) == rows
    shown = invoke("show", store).stdout
    assert ", --weights ema.shadow\n" in shown


def test_the_numbers_are_those_of_the_chosen_weights(run: Path, tmp_path: Path) -> None:
    store, alone = tmp_path / "store", tmp_path / "alone"
    analyze(run, store, *EMA)
    for step in (1, 2):
        torch.save({"model": state(step + 5), "step": step}, run / f"step_{step}.pt")
    analyze(run, alone)
    assert [row[2:] for row in stored(store)] == [row[2:] for row in stored(alone)]


def test_renamed_files_take_the_rows_of_every_choice_along(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    analyze(run, store)
    analyze(run, store, *EMA)
    rows = stored(store)
    run.rename(tmp_path / "moved")
    for words in (EMA, ()):
        assert analyze(tmp_path / "moved", store, *words).stdout.startswith("everything is already there"), words
    assert stored(store) == rows
    assert {Path(path).parent.name for path in sc.open_store(store).results()["checkpoint"]} == {"moved"}


def test_a_file_that_changes_is_read_again_by_every_choice(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for words in ((), EMA):
        analyze(run, store, *words)
    before = stored(store)
    torch.save({"model": state(1), "ema": {"shadow": state(99)}, "step": 1}, run / "step_1.pt")
    assert analyze(run, store).exit_code == 0  # the weights are the same, and only their file changed
    assert stored(store) == before
    assert analyze(run, store, *EMA).stdout.startswith("1 of 1 checkpoint(s) stored")
    assert [a == b for a, b in zip(stored(store), before, strict=True)] == [True, True, False, True]


def test_what_is_ignored_is_a_choice_too_and_problem_json_may_make_it(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for step in (1, 2):
        torch.save(state(step, "student.") | state(step + 5, "teacher."), run / f"step_{step}.pt")
    refused = analyze(run, store)
    assert refused.exit_code == 1
    assert "--ignore '^teacher[.]' leaves only student." in refused.stderr
    assert analyze(run, store, *STUDENT).exit_code == 0
    problem = (run / "problem.json").read_text()
    (run / "problem.json").write_text(problem[:-1] + ', "ignore": "^teacher[.]"}')
    assert analyze(run, store).stdout.startswith("everything is already there")
    assert analyze(run, store, "--ignore", "^student[.]").exit_code == 0
    assert [row[:3] for row in stored(store) if row[3] == row[3]] == [
        ("", "^student[.]", 1), ("", "^student[.]", 2), ("", "^teacher[.]", 1), ("", "^teacher[.]", 2),
    ]  # fmt: skip
    wrong = analyze(run, store, "--ignore", "(")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("scalecurv: --ignore '(' is no regular expression (")


def test_what_is_left_out_is_said_once(run: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        torch.save({"model": {**state(step, "model."), "criterion.weight": torch.ones(3)}}, run / f"step_{step}.pt")
    said = analyze(run, tmp_path / "store").stderr
    assert said.count("no part of the model, left out: criterion.weight") == 1
    architectures = set(sc.open_store(tmp_path / "store").table("checkpoints")["architecture"])
    assert all('"left_out": ["criterion.weight"]' in text for text in architectures)
    ranked = invoke("rank", run / "step_1.pt", "--no-functional-dimension")
    assert (ranked.exit_code, ranked.stderr) == (0, "no part of the model, left out: criterion.weight\n")


def test_globs_choose_among_files(run: Path, tmp_path: Path) -> None:
    torch.save({"epoch": 1}, run / "metrics.pt")
    store = tmp_path / "store"
    assert analyze(run, store).exit_code == 1
    assert analyze(run, tmp_path / "other", "--exclude", "metrics.pt").exit_code == 0
    assert len(sc.sweep(run, tmp_path / "third", measures="gradient", include="step_1.pt", engine="serial")) == 1
    nothing = analyze(run, store, "--include", "x*")
    assert (nothing.exit_code, nothing.stderr.startswith("scalecurv: --include 'x*' leaves none of 3")) == (2, True)


def test_an_option_that_is_no_longer_needed_says_so_and_goes_on(run: Path, tmp_path: Path) -> None:
    done = analyze(run, tmp_path / "store", "--allow-global", "argparse.Namespace", "--allow-global", "a.B")
    assert done.exit_code == 0
    line = "--allow-global is no longer needed, for no class in a checkpoint is ever used; leave it out"
    assert done.stderr.splitlines()[0] == line
    assert "--allow-global" not in invoke("analyze", "--help").output
