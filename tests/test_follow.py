"""--follow analyses every checkpoint once, when it is whole; a sleep that writes stands in for the training."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from scalecurv.errors import Misuse, NothingFound
from scalecurv.sweeps import follow
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.follow import POLL, work_as_it_comes
from scalecurv.sweeps.work import Sweep, find_work
from tests.commands import SERIAL, invoke, untimed_lines
from tests.runs import checkpoints_of, gradient_sweep, stored_rows, write_checkpoint, write_truncated

Events = Mapping[int, Callable[[Path], object]]  # what happens while nobody looks, by how often was looked before


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return gradient_sweep(tmp_path, steps=[])


def save(step: int) -> Callable[[Path], Path]:
    return lambda run: write_checkpoint(run / f"step_{step}.pt", seed=step, step=step)


def grow(run: Path) -> None:
    with (run / "step_0.pt").open("ab") as file:
        file.write(b"more")


class Training:
    """The training beside a watcher: writes while the watcher sleeps, and counts its `looks`."""

    def __init__(self, run: Path, events: Events):
        self.run, self.events, self.looks = run, events, 0

    def sleep(self, seconds: float) -> None:
        assert seconds == POLL
        self.looks += 1
        if self.looks > 100:
            raise AssertionError("it watches without end")
        self.events.get(self.looks, lambda run: None)(self.run)


def watch(sweep: Sweep, events: Events, patience: float = 3 * POLL, carry_out: bool = True) -> list[tuple[int, list]]:
    """Return (looks before, names of the files to do) for all work that is found."""
    training = Training(sweep.checkpoints[0], events)
    seen = []
    for work in work_as_it_comes(sweep, patience, training.sleep):
        seen.append((training.looks, [Path(path).name for path in work.todo]))
        if carry_out:
            execute(sweep, work, lambda outcome: None)
    watch.looks = training.looks  # type: ignore[attr-defined]
    return seen


def test_a_file_is_whole_when_it_is_the_same_twice_and_is_done_once(sweep: Sweep) -> None:
    seen = watch(sweep, {1: save(0), 3: save(1), 5: lambda run: [save(3)(run), save(2)(run)]})
    assert seen == [(2, ["step_0.pt"]), (4, ["step_1.pt"]), (6, ["step_2.pt", "step_3.pt"])]
    assert list(checkpoints_of(sweep.store)["step"]) == [0, 1, 2, 3]
    assert not stored_rows(sweep.store).duplicated(["key", "quantity", "component"]).any()


def test_what_is_there_already_is_done_first(tmp_path: Path) -> None:
    sweep = gradient_sweep(tmp_path, range(3))
    execute(sweep, find_work(sweep, only={str(tmp_path / "run" / "step_1.pt")}), lambda outcome: None)
    assert watch(sweep, {}) == [(1, ["step_0.pt", "step_2.pt"])]


def test_a_file_that_grows_is_left(sweep: Sweep) -> None:
    growing = dict.fromkeys(range(2, 6), grow)
    assert watch(sweep, {1: save(0), **growing}, patience=9 * POLL, carry_out=False) == [(6, ["step_0.pt"])]


def test_a_file_written_over_in_place_is_another(sweep: Sweep) -> None:
    """Size and name stay the same, the time tells."""

    def again(run: Path) -> None:
        path = write_checkpoint(run / "step_0.pt", seed=7, step=0)
        os.utime(path, ns=(10**18, 10**18))

    assert watch(sweep, {1: save(0), 3: again}) == [(2, ["step_0.pt"]), (4, ["step_0.pt"])]


def test_a_file_that_failed_is_tried_again_when_it_changes_alone(sweep: Sweep) -> None:
    events = {1: lambda run: write_truncated(run / "step_0.pt"), 3: save(1), 6: save(0)}
    seen = watch(sweep, events)
    assert seen == [(2, ["step_0.pt"]), (4, ["step_1.pt"]), (7, ["step_0.pt"])]
    assert list(checkpoints_of(sweep.store)["status"]) == ["ok", "ok"]
    assert list(stored_rows(sweep.store, "checkpoints")["status"]).count("failed") == 1


def test_what_is_gone_is_forgotten(sweep: Sweep) -> None:
    """Files are removed before they were whole, or after they were done."""
    events = {
        1: save(0),
        2: lambda run: (run / "step_0.pt").unlink(),
        3: save(1),
        5: lambda run: (run / "step_1.pt").unlink(),
        6: save(2),
    }
    assert watch(sweep, events, 5 * POLL, carry_out=False) == [(4, ["step_1.pt"]), (7, ["step_2.pt"])]


def test_the_same_twice_is_twice_in_a_row(sweep: Sweep) -> None:
    """A file is moved away and back: its writer may not be done."""
    there, away = "step_0.pt", "away"
    events = {
        1: save(0),
        2: lambda run: (run / there).rename(run / away),
        3: lambda run: (run / away).rename(run / there),
    }
    assert watch(sweep, events, 5 * POLL) == [(4, [there])]


def test_a_file_that_is_renamed_when_it_was_done_keeps_its_row(sweep: Sweep) -> None:
    events = {1: save(0), 3: lambda run: (run / "step_0.pt").rename(run / "weights.pt")}
    assert watch(sweep, events) == [(2, ["step_0.pt"]), (4, [])]
    rows = checkpoints_of(sweep.store)
    assert ([Path(path).name for path in rows["path"]], list(rows["step"])) == (["weights.pt"], [0])


def test_a_file_that_vanishes_between_listing_and_looking_is_none(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sweep.checkpoints[0]
    save(0)(run)
    monkeypatch.setattr(follow, "discover", lambda paths, globs: iter([run / "step_9.pt", run / "step_0.pt"]))
    assert watch(sweep, {}) == [(1, ["step_0.pt"])]


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_patience_counts_from_the_last_that_came(sweep: Sweep, looks: int) -> None:
    assert watch(sweep, {}, patience=looks * POLL) == []
    assert watch.looks == looks + 2  # type: ignore[attr-defined]
    seen = watch(sweep, {1: save(0), 1 + looks: save(1)}, patience=looks * POLL)
    assert [names for _, names in seen] == [["step_0.pt"], ["step_1.pt"]] if looks > 1 else [["step_0.pt", "step_1.pt"]]
    assert watch.looks == 3 + 2 * looks  # type: ignore[attr-defined]


def test_without_patience_it_watches_on(sweep: Sweep) -> None:
    class Enough(Exception):
        pass

    def stop(run: Path) -> None:
        raise Enough

    training = Training(sweep.checkpoints[0], {60: stop})
    with pytest.raises(Enough):
        list(work_as_it_comes(sweep, None, training.sleep))


def test_data_beside_the_checkpoints_are_none(sweep: Sweep) -> None:
    """data.npz and problem.json lie there from the start, and are no work."""
    assert {path.name for path in sweep.checkpoints[0].iterdir()} == {"data.npz", "problem.json"}
    with pytest.raises(NothingFound):
        find_work(sweep)
    assert watch(sweep, {}) == []


def test_misuse_is_raised_at_the_first_checkpoint(sweep: Sweep) -> None:
    wrong = replace(sweep, given={"loss": "hinge"})
    with pytest.raises(Misuse, match="hinge"):
        watch(wrong, {1: save(0)})


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(work_as_it_comes, "__defaults__", (None, lambda seconds: None))


@pytest.mark.usefixtures("_no_waiting")
def test_the_command_says_what_each_plan_came_to(tmp_path: Path) -> None:
    sweep = gradient_sweep(tmp_path, range(2))
    run, store = sweep.checkpoints[0], sweep.store
    command = ("analyze", run, store, "--measure", "gradient", "--follow", "--patience", 4, *SERIAL)
    first = invoke(*command)
    assert first.exit_code == 0
    assert first.stdout.startswith(f"2 of 2 checkpoint(s) stored in {store}, ")
    assert untimed_lines(first.stderr) == [f"{i + 1}/2 ok {run}/step_{i}.pt" for i in range(2)]
    write_truncated(run / "step_2.pt")
    second = invoke(*command)
    assert (second.exit_code, len(checkpoints_of(store))) == (1, 3)
    assert second.stdout.startswith(f"0 of 1 checkpoint(s) stored in {store}, ")
    save(2)(run)
    assert invoke(*command).exit_code == 0


def test_a_file_that_was_whole_in_the_end_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word on each file counts: one may be seen half written, and whole later."""
    sweep = gradient_sweep(tmp_path, range(2))
    run, store = sweep.checkpoints[0], sweep.store
    write_truncated(run / "step_1.pt")
    training = Training(run, {3: save(1)})
    monkeypatch.setattr(work_as_it_comes, "__defaults__", (None, training.sleep))
    command = ("analyze", run, store, "--measure", "gradient", "--follow", "--patience", 6, *SERIAL)
    done = invoke(*command)
    assert "failed" in done.stderr
    assert (done.exit_code, list(checkpoints_of(store)["status"])) == (0, ["ok", "ok"])


@pytest.mark.usefixtures("_no_waiting")
def test_a_training_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    sweep = gradient_sweep(tmp_path, [])
    run = sweep.checkpoints[0]
    nothing = invoke("analyze", run, sweep.store, "--follow", "--patience", 4, *SERIAL)
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert nothing.stderr == (
        f"scalecurv: no checkpoint came to {run} in 4 s; give the directory that the training writes to, or more "
        f"--patience\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patience", "5"], "--patience says when --follow ends; give --follow, or leave it out"),
        (["--follow", "--patience", "0"], "--patience is 0.0; it must be positive and finite"),
        (["--follow", "--patience", "inf"], "--patience is inf; it must be positive and finite"),
        (["--follow", "--engine", "serial", "--workers", "2"], "--engine serial runs in this process; "),
    ],
)
def test_patience_needs_something_to_wait_for(tmp_path: Path, words: list[str], message: str) -> None:
    result = invoke("analyze", gradient_sweep(tmp_path).checkpoints[0], tmp_path / "store", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"scalecurv: {message}")
