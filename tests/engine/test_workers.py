"""The pool by the clock, over a cluster without processes: who is started when, who helps, when it gives up."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scalecurv.engine import pool
from scalecurv.engine.attempts import Done, GivenUp, UnexpectedError
from scalecurv.engine.pool import COUNT_EVERY, GATHER, LOOK, PATIENCE, Pool
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.errors import ClusterError, Misuse
from tests.engine.fake_ray import Death, FakeRay, MemoryKill, ObjectGone

Nodes = Callable[[float], Sequence[dict[str, float]]]
Act = Callable[..., str]
TIMES = {"ready": 3.0, "run": 10.0, "alive": 0.01}


def cores(number: int) -> list[dict[str, float]]:
    return [{"CPU": 1.0}] * number


class Told:
    """A worker that does what `act(path, attempt, helpers)` does; `start` is what a start does."""

    def __init__(self, act: Callable[[str, int, int], Any] | None = None, start: Callable[[int], Any] | None = None):
        self.act, self.start = act, start
        self.started = 0
        self.tries: list[str] = []
        self.helped: dict[str, int] = {}

    def on(self, device: str, threads: int) -> Act:
        self.started += 1
        if self.start is not None:
            self.start(self.started)
        assert (device, threads) == ("cpu", 1)
        return self._run

    def _run(self, path: str, shared: Any = None) -> str:
        self.tries.append(path)
        self.helped[path] = len(shared._helpers) if shared else 0
        if self.act is not None:
            self.act(path, self.tries.count(path), self.helped[path])
        return f"{path} analysed"


def simulate(
    monkeypatch: pytest.MonkeyPatch,
    nodes: Nodes,
    paths: Sequence[str],
    worker: Told,
    members: int = 1,
    **seconds: float,
) -> tuple[FakeRay, list[Done | GivenUp]]:
    ray = FakeRay(nodes, **(TIMES | seconds)).install(monkeypatch, pool)
    news = list(Pool(ray, worker, WorkerSpec(per_checkpoint=members)).run(paths))  # type: ignore[arg-type]
    assert ray.alive == []  # whoever ends a run ends its workers
    return ray, news


def names(count: int) -> list[str]:
    return [f"u{i}" for i in range(count)]


def test_no_more_workers_than_checkpoints_and_each_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, news = simulate(monkeypatch, lambda now: cores(8), names(3), Told())
    assert news == [Done(path, f"{path} analysed", 1) for path in names(3)]
    assert ray.born == [0.0] * 3
    assert ray.options == [{"num_cpus": 1, "num_gpus": 0.0, "max_restarts": 0, "max_task_retries": 0}] * 3
    assert ray.now == pytest.approx(TIMES["ready"] + TIMES["run"])


def test_no_more_workers_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, news = simulate(monkeypatch, lambda now: cores(2), names(7), Told())
    assert len(news) == 7
    assert ray.born == [0.0] * 2
    assert ray.now == pytest.approx(3 + 4 * 10)


def test_nodes_that_join_late_are_given_workers_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, news = simulate(monkeypatch, lambda now: cores(1 if now < 20 else 4), names(20), Told())
    assert len(news) == 20
    assert ray.born[0] == 0.0
    assert len(ray.born) == 4
    assert all(20 <= born <= 20 + COUNT_EVERY + 2 * LOOK for born in ray.born[1:])


def test_nodes_without_room_at_first_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs and nothing starts: there is nothing that ray could wait for."""
    ray, news = simulate(monkeypatch, lambda now: cores(int(now > PATIENCE - 5)), names(2), Told())
    assert [item.path for item in news] == names(2)
    assert PATIENCE - 5 <= ray.born[0] <= PATIENCE - 5 + COUNT_EVERY + 2 * LOOK


@pytest.mark.parametrize("node", [{}, {"GPU": 4.0}, {"CPU": 0.5}])
def test_a_cluster_without_room_is_given_up_after_patience(
    monkeypatch: pytest.MonkeyPatch, node: dict[str, float]
) -> None:
    """Patience counts from when there last was room or running work: 3 s of start, 10 s of work, then no node."""
    seen: list[Done | GivenUp] = []
    worker = Told(lambda path, attempt, helpers: _die(path == "u1"))
    ray = FakeRay(lambda now: cores(1) if now < 13 else [node], **TIMES).install(monkeypatch, pool)
    with pytest.raises(ClusterError) as caught:
        seen.extend(Pool(ray, worker, WorkerSpec()).run(names(4)))  # type: ignore[arg-type]
    assert seen == [Done("u0", "u0 analysed", 1)]
    said = "no node that is left has 1 CPU(s) and 0 GPU(s) for a worker; add one and run the same again"
    assert str(caught.value) == said
    assert 23 + PATIENCE - COUNT_EVERY <= ray.now <= 23 + PATIENCE + 3 * COUNT_EVERY
    assert ray.alive == []


def test_room_that_is_taken_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody works, the nodes may look empty for as long as they like."""
    _, news = simulate(monkeypatch, lambda now: cores(int(now < 1)), ["u0"], Told(), run=3 * PATIENCE)
    assert news == [Done("u0", "u0 analysed", 1)]


def test_a_slow_start_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    _, news = simulate(monkeypatch, lambda now: cores(1), ["u0"], Told(), ready=3 * PATIENCE)
    assert news == [Done("u0", "u0 analysed", 1)]


def _die(yes: bool, how: type[Exception] = Death) -> None:
    if yes:
        raise how("the process is gone")


@pytest.mark.parametrize("how", [Death, MemoryKill, ObjectGone, MemoryError])
def test_three_attempts_and_a_line_of_why(monkeypatch: pytest.MonkeyPatch, how: type[Exception]) -> None:
    worker = Told(lambda path, attempt, helpers: _die(path == "u1" or (path == "u0" and attempt < 3), how))
    ray, news = simulate(monkeypatch, lambda now: cores(2), names(3), worker)
    by_path = {item.path: item for item in news}
    why = "out of memory" if how is MemoryError else "its worker died"
    assert by_path == {
        "u0": Done("u0", "u0 analysed", 3),
        "u1": GivenUp("u1", f"{why}: the process is gone (3 attempts)", 3),
        "u2": Done("u2", "u2 analysed", 1),
    }
    assert [worker.tries.count(path) for path in names(3)] == [3, 3, 1]
    # one that only ran out of memory goes on; where a process may be gone, the next attempt has a fresh one
    assert len(ray.actors) == 2 if how is MemoryError else len(ray.actors) > 2


def test_three_starts_in_a_row_that_fail_are_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Told(start=lambda nth: _die(True))
    ray = FakeRay(lambda now: cores(1), **TIMES).install(monkeypatch, pool)
    with pytest.raises(Misuse) as caught:
        list(Pool(ray, worker, WorkerSpec()).run(names(4)))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "3 workers in a row died while starting (the process is gone); give fewer --workers, or more memory"
    )
    assert (len(ray.actors), worker.tries, ray.alive) == (3, [], [])


def test_a_start_that_works_forgives_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third start works, and its worker dies of its checkpoint: 6 failed starts, never 3 in a row."""
    worker = Told(lambda path, attempt, helpers: _die(True), start=lambda nth: _die(nth % 3 != 0))
    _, news = simulate(monkeypatch, lambda now: cores(1), ["u0"], worker)
    assert news == [GivenUp("u0", "its worker died: the process is gone (3 attempts)", 3)]
    assert worker.started == 9


def test_helpers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first starts when all three are there; one that is done leaves its workers to the next."""
    worker = Told()
    ray, news = simulate(monkeypatch, lambda now: cores(3), names(3), worker, members=3)
    assert [item.path for item in news] == names(3)
    assert worker.helped == dict.fromkeys(names(3), 2)
    assert len(ray.actors) == 3
    assert ray.now == pytest.approx(3 + 3 * 10, abs=1.0)
    runs = [args for method, _, args in ray.calls if method == "run"]
    assert all(len(helpers) == 2 for _, helpers in runs)


def test_two_checkpoints_of_two_workers_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Told()
    ray, _ = simulate(monkeypatch, lambda now: cores(5), names(2), worker, members=2)
    assert worker.helped == {"u0": 1, "u1": 1}
    assert len(ray.actors) == 4  # two for each checkpoint, whatever there is room for
    assert ray.now == pytest.approx(3 + 10, abs=1.0)


def test_stragglers_are_not_waited_for_longer_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start takes a minute: after GATHER the first goes alone, and the second works when it comes."""
    worker = Told()
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    worker.start = lambda nth: ray.seconds.update(ready=60.0)  # of those that start from now on
    list(Pool(ray, worker, WorkerSpec(per_checkpoint=2)).run(names(8)))  # type: ignore[arg-type]
    helped = [len(args[1]) for method, _, args in ray.calls if method == "run"]
    assert helped == [0] * 8
    assert GATHER + 4 * 10 < 60.0 < GATHER + 5 * 10
    assert ray.now == pytest.approx(60 + 2 * 10, abs=4.0)


def test_while_others_work_nobody_waits_for_a_straggler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four are there when GATHER is over; the third checkpoint goes when the first is home."""
    worker = Told()
    ray = FakeRay(lambda now: cores(4), **TIMES).install(monkeypatch, pool)
    worker.start = lambda nth: ray.seconds.update(ready=60.0 if nth >= 3 else 3.0)
    list(Pool(ray, worker, WorkerSpec(per_checkpoint=2)).run(names(3)))  # type: ignore[arg-type]
    assert (worker.helped["u0"], worker.helped["u1"]) == (1, 0)
    assert ray.now == pytest.approx(GATHER + 2 * 10, abs=1.0)


def test_a_helper_that_died_is_replaced_before_the_next_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Told()
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)

    def loses_its_helper(path: str, attempt: int, helpers: int) -> None:
        if path == "u0":
            helper = next(args[1][0] for method, _, args in ray.calls if method == "run")
            helper.dead = True

    worker.act = loses_its_helper
    news = list(Pool(ray, worker, WorkerSpec(per_checkpoint=2)).run(names(3)))  # type: ignore[arg-type]
    assert news == [Done(path, f"{path} analysed", 1) for path in names(3)]  # no attempt is charged for it
    assert worker.helped == dict.fromkeys(names(3), 1)
    assert len(ray.actors) == 3
    assert [nth for method, nth, _ in ray.calls if method == "alive"]


def test_helpers_that_die_are_no_failed_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Told()
    ray = FakeRay(lambda now: cores(4), **TIMES).install(monkeypatch, pool)

    def loses_its_helpers(path: str, attempt: int, helpers: int) -> None:
        runs = [args for method, _, args in ray.calls if method == "run"]
        for helper in runs[-1][1]:
            helper.dead = True

    worker.act = loses_its_helpers
    assert len(list(Pool(ray, worker, WorkerSpec(per_checkpoint=4)).run(names(3)))) == 3  # type: ignore[arg-type]
    assert worker.helped == dict.fromkeys(names(3), 3)


def test_a_bug_is_raised_when_what_flies_is_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(path: str, attempt: int, helpers: int) -> None:
        if path == "u0":
            raise ZeroDivisionError("the bug itself")

    worker, news = Told(act), []
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    with pytest.raises(UnexpectedError, match=r"(?s)^while analysing u0:.*ZeroDivisionError: the bug itself$"):
        news.extend(Pool(ray, worker, WorkerSpec()).run(names(5)))  # type: ignore[arg-type]
    assert news == [] or news == [Done("u1", "u1 analysed", 1)]
    assert len(news) + 1 == len(worker.tries)
    assert ray.alive == []
