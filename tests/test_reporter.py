"""What a sweep tells while it runs, by a clock of the test: its file, its bars, a line when something takes long."""

import logging
import socket
from pathlib import Path

import pytest

from scalecurv.record import Outcome, Stage
from scalecurv.store.running import Running, running_sweeps
from scalecurv.store.writer import prepare_store
from scalecurv.sweeps.reporter import LONG, WINDOW, Reporter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare_store(tmp_path)
    return tmp_path


def stage(path: str, products: int = 0, measure: str = "moments") -> Stage:
    return Stage(path, taken=products, measure=measure, products=products, expected=1000)


def test_a_line_says_what_takes_long_every_30_s(store: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scalecurv")
    reporter = Reporter(store, clock=clock)
    reporter.begin(9)
    for second in range(200):
        clock.now = float(second)
        if second == 10:
            reporter.tell(Stage("runs/a/step_120.pt"))
        if second == 20:
            reporter.tell(Stage("runs/a/step_120.pt", "", 10.0, 249, "moments", 9.0, 240, 1000))
        if second == 75:
            reporter.tell(Stage("runs/a/step_130.pt"))
            reporter.tell(Stage("runs/a/step_120.pt", "", 65.0, 1300, "moments", 64.0, 1240, 1000))
        if second == 120:
            reporter.ended("runs/a/step_120.pt")
            reporter.ended("runs/a/step_130.pt")
        reporter.tick()
    assert [record.getMessage() for record in caplog.records] == [
        "step_120.pt: moments, 240 of up to 1,000 products, 0:00:30",
        "step_120.pt: moments, 240 of up to 1,000 products, 0:01:00",
        "step_120.pt: moments, 1,240 products, more than expected, 0:01:30; 1 other(s) under way",
    ]
    assert LONG == 30.0


def test_checkpoints_that_take_less_than_30_s_get_no_line(
    store: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scalecurv")
    reporter = Reporter(store, clock=clock)
    reporter.begin(100)
    for second in range(0, 1000, 29):
        clock.now = float(second)
        reporter.tell(Stage(f"{second}.pt"))
        clock.now = second + 28.9
        reporter.tick()
        reporter.ended(f"{second}.pt")
    assert caplog.records == []


def test_the_file_says_what_is_done_and_what_is_computed(store: Path, clock: Clock) -> None:
    reporter = Reporter(store, clock=clock)
    reporter.begin(3)
    clock.now = 10.0
    reporter.tell(Stage("a.pt"))
    reporter.tell(stage("a.pt", 50))
    clock.now = 20.0
    reporter.tick()
    (running,) = running_sweeps(store)
    assert (running.host, running.total, running.done, running.failed) == (socket.gethostname(), 3, 0, 0)
    assert running.stages == (Stage("a.pt", "", 10.0, 50, "moments", 10.0, 50, 1000),)
    assert running.products_per_second == 50 / 20.0
    reporter.ended("a.pt")
    reporter.tell(stage("a.pt", 60))  # it comes late, and is left
    reporter.count(Outcome("a.pt", "ok", total_matvecs=80))
    reporter.count(Outcome("b.pt", "failed"))
    clock.now = 25.0
    reporter.tick()
    (running,) = running_sweeps(store)
    assert (running.done, running.failed, running.stages) == (2, 1, ())
    assert (running.seconds, running.stored_seconds) == (25.0, 20.0)


def test_the_rate_is_that_of_the_last_minute(store: Path, clock: Clock) -> None:
    """10 products a second for 300 s, then none."""
    reporter = Reporter(store, clock=clock)
    reporter.begin(1)
    reporter.tell(Stage("a.pt"))
    rates = {}
    for second in range(1, 501):
        clock.now = float(second)
        reporter.tell(stage("a.pt", 10 * min(second, 300)))
        rates[second] = reporter.running().products_per_second
    assert rates[300] == pytest.approx(10.0)
    assert rates[330] == pytest.approx(5.0, rel=0.05)
    assert rates[300 + int(WINDOW) + 1] == 0.0


def test_bars_are_given_the_same(store: Path, clock: Clock) -> None:
    seen: list[Running] = []
    reporter = Reporter(store, seen.append, clock=clock)
    reporter.begin(2)
    reporter.tick()
    reporter.count(Outcome("a.pt", "ok"))
    assert [running.done for running in seen] == [0, 0, 1]


def test_a_terminal_that_is_gone_disturbs_nobody(store: Path, clock: Clock) -> None:
    def closed(running: Running) -> None:
        raise OSError(5, "Input/output error")

    reporter = Reporter(store, closed, clock=clock)
    reporter.begin(1)
    reporter.count(Outcome("a.pt", "ok"))
    reporter.tick()
    assert reporter.running().done == 1


def test_one_that_follows_is_there_while_it_waits(store: Path, clock: Clock) -> None:
    """Each time that new checkpoints come, counts and times begin anew."""
    with Reporter(store, follows=True, clock=clock) as reporter:
        (running,) = running_sweeps(store)
        assert (running.follows, running.total) == (True, 0)
        reporter.begin(1)
        reporter.count(Outcome("a.pt", "ok"))
        clock.now = 100.0
        reporter.begin(2)
        clock.now = 101.0
        now = reporter.running()
        assert (now.total, now.done, now.seconds) == (2, 0, 1.0)
    assert running_sweeps(store) == []


def test_the_file_goes_whatever_ends_the_sweep(store: Path) -> None:
    reporter = Reporter(store, follows=True)
    with reporter:
        assert len(running_sweeps(store)) == 1
        reporter.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert running_sweeps(store) == []
    assert [path.name for path in store.iterdir()] == ["parts"]
