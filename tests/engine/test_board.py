"""What workers compute reaches the driver, by way of a board that nobody waits for and that may be lost."""

from pathlib import Path
from typing import Any

import pytest

from scalecurv.engine import board as board_module
from scalecurv.engine import pool
from scalecurv.engine.attempts import Done
from scalecurv.engine.board import LOOK_EVERY, Board, Post
from scalecurv.engine.pool import Pool
from scalecurv.engine.resources import Resources
from scalecurv.engine.serial import run_serial
from scalecurv.engine.threads import Threads
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.measures.meter import Meter
from scalecurv.record import Stage
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.reporter import Reporter
from scalecurv.sweeps.work import Sweep, find_work
from tests.commands import deadline
from tests.engine.fake_ray import FakeRay
from tests.engine.fakes import HEARD, WaitsToBeHeard
from tests.engine.test_shared_probes import REQUEST
from tests.engine.test_workers import TIMES, cores, names
from tests.runs import assert_same_store, carry_out, write_run


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    return FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, board_module, pool)


def test_the_last_stage_of_each_checkpoint_is_told_once(ray: FakeRay) -> None:
    told: list[Stage] = []
    board = Board(ray, told.append)
    actor = board.post.board
    for stage in (Stage("a", products=1), Stage("b"), Stage("a", products=2)):
        actor.post.remote(stage)
    board.look()
    assert (told, ray.calls[-1][0]) == ([], "post")  # not before LOOK_EVERY
    ray.sleep(LOOK_EVERY)
    board.look()  # asks
    assert told == []
    board.look()  # hears
    assert told == [Stage("a", products=2), Stage("b")]
    ray.sleep(LOOK_EVERY)
    board.look()
    board.look()
    assert len(told) == 2
    board.end()
    assert ray.killed == [actor.nth]


def test_the_driver_does_not_wait_for_a_board_that_is_slow_or_lost(ray: FakeRay) -> None:
    told: list[Stage] = []
    ray.seconds["take"] = 60.0
    board = Board(ray, told.append)
    ray.sleep(LOOK_EVERY)
    board.look()
    before = ray.now
    for _ in range(10):
        board.look()
    assert (ray.now, [method for method, _, _ in ray.calls].count("take")) == (before, 1)
    board.post.board.dead = True
    ray.sleep(60.0)
    board.look()  # what was asked before it died
    ray.sleep(LOOK_EVERY)
    board.look()
    ray.sleep(60.0)
    board.look()
    ray.calls.clear()
    ray.sleep(LOOK_EVERY)
    board.look()
    board.end()
    assert (told, ray.calls, ray.killed) == ([], [], [])


class Measured:
    """A worker that takes a product of the one that its measure may take."""

    def on(self, device: str, threads: int, why: str = "") -> "Measured":
        return self

    def __call__(self, path: str, tell: Any = None) -> str:
        if tell is not None:
            meter = Meter(path, tell, clock=lambda: 0.0)
            meter.begin("moments", 1)
        return f"{path} analysed"


def test_a_pool_tells_what_its_workers_compute(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """One board beside the workers, of no core; a launch is told at once, a measure when the driver looks."""
    monkeypatch.setattr(Post, "__call__", lambda post, stage: post.board.post.remote(stage))
    told: list[Stage] = []
    results = list(Pool(ray, Measured(), WorkerSpec(), told.append).run(names(3)))  # type: ignore[arg-type]
    assert results == [Done(path, f"{path} analysed", 1) for path in names(3)]
    assert [stage.path for stage in told if not stage.measure] == names(3)
    assert {stage.path for stage in told if stage.measure == "moments"} == set(names(3))
    assert [options["num_cpus"] for options in ray.options] == [1, 1, 0]
    assert ray.alive == []


def test_a_pool_that_tells_nobody_has_no_board(ray: FakeRay) -> None:
    list(Pool(ray, Measured(), WorkerSpec()).run(names(2)))  # type: ignore[arg-type]
    assert [options["num_cpus"] for options in ray.options] == [1, 1]


def test_the_loop_tells_from_where_it_computes() -> None:
    told: list[Stage] = []
    list(run_serial(Measured(), ["a"], "cpu", Threads(1, "asked"), told.append))  # type: ignore[arg-type]
    assert [(stage.path, stage.measure, stage.expected) for stage in told] == [("a", "", 0), ("a", "moments", 1)]


@pytest.mark.ray
def test_processes_store_the_same_bits_and_tell_what_they_compute(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool, and a group that shares the data, whose ranks all count their products."""
    monkeypatch.setattr(board_module, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(pool, "LOOK", 0.02)
    run = write_run(tmp_path / "run", range(2))
    carry_out(Sweep((run,), tmp_path / "serial", {}, REQUEST, resources=Resources("serial", threads=1)))
    monkeypatch.setattr(
        "scalecurv.sweeps.execute.Worker", lambda *given: WaitsToBeHeard(Worker(*given), tmp_path / plan)
    )
    for plan in ("checkpoints", "data"):
        sweep = Sweep((run,), tmp_path / plan, {}, REQUEST, resources=Resources("ray", workers=2, plan=plan))
        told: list[Stage] = []
        reporter = Reporter(sweep.store)

        def hear(stage: Stage, told: list[Stage] = told, store: Path = sweep.store) -> None:
            told.append(stage)
            if stage.measure:
                (store / HEARD).touch()

        monkeypatch.setattr(reporter, "tell", hear)
        with deadline():
            execute(sweep, find_work(sweep), lambda outcome: None, reporter)
        measured = [stage for stage in told if stage.measure]
        assert {Path(stage.path).name for stage in told} == {f"step_{i}.pt" for i in range(2)}
        assert {stage.measure for stage in measured} <= {"extremes", "moments"}
        assert measured
        assert all(stage.worker.partition(":")[2].isdigit() for stage in measured)
        assert all(stage.expected >= stage.products for stage in measured)
    assert_same_store(tmp_path / "checkpoints", tmp_path / "serial")
