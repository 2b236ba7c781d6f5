"""Whatever breaks in the middle of a sweep, what was committed stays and the rest is done the next time."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalecurv.engine.attempts import GivenUp
from scalecurv.errors import Misuse, StoreError
from scalecurv.record import Outcome
from scalecurv.store.reader import read_store
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.work import Sweep, find_work
from tests.runs import (
    assert_same_store,
    carry_out,
    checkpoints_of,
    computed,
    gradient_sweep,
    stored_rows,
    write_checkpoint,
    write_data,
    write_truncated,
)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return gradient_sweep(tmp_path)


def test_a_broken_part_is_set_aside_and_its_work_done_again(sweep: Sweep, tmp_path: Path) -> None:
    carry_out(sweep)
    carry_out(replace(sweep, store=tmp_path / "reference"))
    broken = sorted((sweep.store / "parts").iterdir())[0]
    content = broken.read_bytes()
    broken.write_bytes(content[:-100])
    work = find_work(sweep)
    assert len(work.todo) == 1
    assert list(work.broken) == [broken]
    assert broken.exists()
    assert computed(carry_out(sweep)) == ["gradient"]
    assert broken.with_name(f"{broken.name}.broken").read_bytes() == content[:-100]
    assert_same_store(sweep.store, tmp_path / "reference")
    assert (find_work(sweep).todo, find_work(sweep).broken) == ((), {})


def test_a_broken_part_nobody_misses_is_set_aside_too(sweep: Sweep) -> None:
    carry_out(sweep)
    broken = sweep.store / "parts" / "0.h5"
    broken.write_bytes(b"garbage")
    execute(sweep, find_work(sweep), lambda outcome: pytest.fail("there was nothing to do"))
    assert [path.name for path in broken.parent.glob("0.h5*")] == ["0.h5.broken"]


def test_a_failure_is_tried_again_and_success_wins(sweep: Sweep) -> None:
    bad = write_truncated(sweep.checkpoints[0] / "step_5.pt")
    assert [outcome.status for outcome in carry_out(sweep)] == ["ok", "ok", "ok", "failed"]
    assert find_work(sweep).todo == (str(bad),)
    (again,) = carry_out(sweep)
    assert (again.status, again.step) == ("failed", 5)
    write_checkpoint(bad, seed=5, step=5)
    assert [outcome.status for outcome in carry_out(sweep)] == ["ok"]
    assert find_work(sweep).todo == ()
    assert sorted(stored_rows(sweep.store, "checkpoints")["status"]) == ["failed", "failed", "ok", "ok", "ok", "ok"]
    assert list(checkpoints_of(sweep.store)["status"]) == ["ok"] * 4


def test_an_outcome_is_on_disk_before_anybody_hears_of_it(sweep: Sweep) -> None:
    heard = 0

    def check(outcome: Outcome) -> None:
        nonlocal heard
        heard += 1
        contents = read_store(sweep.store)
        assert {record.key for record in outcome.records} <= contents.stored.keys()
        assert len(contents.tables["checkpoints"]) == heard

    execute(sweep, find_work(sweep), check)
    assert heard == 3


@pytest.mark.fault
def test_what_is_stored_stays_when_the_disk_fills_up(sweep: Sweep) -> None:
    heard: list[Outcome] = []
    with pytest.raises(StoreError) as caught:  # noqa: SIM117
        with full_disk_after(heard) as on_outcome:
            execute(sweep, find_work(sweep), on_outcome)
    parts = sweep.store / "parts"
    assert str(caught.value) == f"{parts} cannot be written (File too large); make room and run the same again"
    assert [outcome.step for outcome in heard] == [0]
    assert list(checkpoints_of(sweep.store)["step"]) == [0]
    assert [path.suffix for path in parts.iterdir()] == [".h5"]
    assert [outcome.step for outcome in carry_out(sweep)] == [1, 2]


@contextmanager
def full_disk_after(heard: list[Outcome]) -> Iterator[Callable[[Outcome], None]]:
    """The disk is full once the first outcome is heard of."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_outcome(outcome: Outcome) -> None:
        heard.append(outcome)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

    try:
        yield on_outcome
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_given_up_is_a_failed_checkpoint(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(worker: Any, paths: Any, *where: Any) -> Iterator[GivenUp]:
        yield GivenUp(paths[1], "its worker died: killed (3 attempts)", 3)

    monkeypatch.setattr("scalecurv.sweeps.execute.run", run)
    work = find_work(sweep)
    execute(sweep, work, lambda outcome: None)
    (row,) = read_store(sweep.store).tables["checkpoints"].itertuples()
    assert (row.path, row.status, row.error) == (work.todo[1], "failed", "its worker died: killed (3 attempts)")
    assert (row.step, row.attempt, row.task_id, row.seed) == (1, 3, work.task.id, 0)
    assert row.created > 1e9


def test_data_that_fits_no_checkpoint_is_misuse_before_any_runs(sweep: Sweep) -> None:
    write_data(sweep.checkpoints[0] / "data.npz", num_inputs=4)
    with pytest.raises(Misuse) as caught:
        find_work(sweep)
    path = sweep.checkpoints[0] / "step_0.pt"
    advice = "give the data that it was trained on"
    assert str(caught.value) == f"{path} takes 6 inputs but x has 4 a sample, shape (20, 4); {advice}"
    assert not sweep.store.exists()


@pytest.mark.parametrize("odd", ["step_0.pt", "step_2.pt"])
def test_a_checkpoint_that_does_not_fit_the_data_fails_alone(sweep: Sweep, odd: str) -> None:
    write_checkpoint(sweep.checkpoints[0] / odd, widths=(4, 3))
    outcomes = {Path(outcome.path).name: outcome.status for outcome in carry_out(sweep)}
    assert outcomes == {**dict.fromkeys(["step_0.pt", "step_1.pt", "step_2.pt"], "ok"), odd: "failed"}


def test_unreadable_files_do_not_hide_a_wrong_request(sweep: Sweep) -> None:
    write_truncated(sweep.checkpoints[0] / "step_0.pt")
    write_data(sweep.checkpoints[0] / "data.npz", num_classes=4)
    with pytest.raises(Misuse, match=r"^y holds classes 0\.\.3 but the model has 3 outputs;"):
        find_work(sweep)


def test_a_file_in_the_stores_place_is_misuse(sweep: Sweep) -> None:
    sweep.store.write_text("")
    with pytest.raises(Misuse) as caught:
        find_work(sweep)
    advice = "give a directory for the store (it is made if it does not exist)"
    assert str(caught.value) == f"{sweep.store} is a file; {advice}"


def test_an_odd_checkpoint_alone_is_to_blame_itself_once_others_worked(sweep: Sweep) -> None:
    """A second run must not find fault with the data: the checkpoint fails as it did the first time."""
    write_checkpoint(sweep.checkpoints[0] / "step_7.pt", widths=(4, 3))
    assert [outcome.status for outcome in carry_out(sweep)] == ["ok", "ok", "ok", "failed"]
    (again,) = carry_out(sweep)
    assert (again.status, again.step) == ("failed", 7)
