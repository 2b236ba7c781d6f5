"""The pool by the clock, over a cluster without processes: who is started when, who helps, when it gives up."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scalecurv.engine import pool
from scalecurv.engine.attempts import Done, Lost, UnitError
from scalecurv.engine.pool import COUNT_EVERY, GATHER, LOOK, PATIENCE, Pool
from scalecurv.engine.workers import Workers, nodes_of
from scalecurv.errors import ClusterError, Misuse
from tests.engine.fake_ray import Death, FakeRay, MemoryKill, ObjectGone

Nodes = Callable[[float], Sequence[dict[str, float]]]
Desk = Callable[..., str]
TIMES = {"ready": 3.0, "run": 10.0, "alive": 0.01}


def cores(number: int) -> list[dict[str, float]]:
    return [{"CPU": 1.0}] * number


class Told:
    """An analyst whose workers do what `desk(unit, attempt, helpers)` does; `start` is what a start does."""

    def __init__(self, desk: Callable[[str, int, int], Any] | None = None, start: Callable[[int], Any] | None = None):
        self.desk, self.start = desk, start
        self.started = 0
        self.tries: list[str] = []
        self.helped: dict[str, int] = {}

    def on(self, device: str, threads: int) -> Desk:
        self.started += 1
        if self.start is not None:
            self.start(self.started)
        assert (device, threads) == ("cpu", 1)
        return self._run

    def _run(self, unit: str, crew: Any = None) -> str:
        self.tries.append(unit)
        self.helped[unit] = len(crew._helpers) if crew else 0
        if self.desk is not None:
            self.desk(unit, self.tries.count(unit), self.helped[unit])
        return f"{unit} analysed"


def simulate(
    monkeypatch: pytest.MonkeyPatch, nodes: Nodes, units: Sequence[str], analyst: Told, crew: int = 1, **seconds: float
) -> tuple[FakeRay, list[Done | Lost]]:
    ray = FakeRay(nodes, **(TIMES | seconds)).install(monkeypatch, pool)
    news = list(Pool(ray, analyst, Workers(crew=crew)).run(units))  # type: ignore[arg-type]
    assert ray.alive == []  # whoever ends a run ends its workers
    return ray, news


def names(count: int) -> list[str]:
    return [f"u{i}" for i in range(count)]


def test_no_more_workers_than_units_and_each_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, news = simulate(monkeypatch, lambda now: cores(8), names(3), Told())
    assert news == [Done(unit, f"{unit} analysed", 1) for unit in names(3)]
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
    assert [item.unit for item in news] == names(2)
    assert PATIENCE - 5 <= ray.born[0] <= PATIENCE - 5 + COUNT_EVERY + 2 * LOOK


@pytest.mark.parametrize("node", [{}, {"GPU": 4.0}, {"CPU": 0.5}])
def test_a_cluster_without_room_is_given_up_after_patience(
    monkeypatch: pytest.MonkeyPatch, node: dict[str, float]
) -> None:
    """From when there last was room, or work under way: 3 s of start and 10 s of work, then the node is lost."""
    seen: list[Done | Lost] = []
    analyst = Told(lambda unit, attempt, helpers: _die(unit == "u1"))
    ray = FakeRay(lambda now: cores(1) if now < 13 else [node], **TIMES).install(monkeypatch, pool)
    with pytest.raises(ClusterError) as caught:
        seen.extend(Pool(ray, analyst, Workers()).run(names(4)))  # type: ignore[arg-type]
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
    analyst = Told(lambda unit, attempt, helpers: _die(unit == "u1" or (unit == "u0" and attempt < 3), how))
    ray, news = simulate(monkeypatch, lambda now: cores(2), names(3), analyst)
    by_unit = {item.unit: item for item in news}
    why = "out of memory" if how is MemoryError else "its worker died"
    assert by_unit == {
        "u0": Done("u0", "u0 analysed", 3),
        "u1": Lost("u1", f"{why}: the process is gone (3 attempts)", 3),
        "u2": Done("u2", "u2 analysed", 1),
    }
    assert [analyst.tries.count(unit) for unit in names(3)] == [3, 3, 1]
    # one that only ran out of memory goes on; where a process may be gone, the next attempt has a fresh one
    assert len(ray.actors) == 2 if how is MemoryError else len(ray.actors) > 2


def test_three_starts_in_a_row_that_fail_are_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    analyst = Told(start=lambda nth: _die(True))
    ray = FakeRay(lambda now: cores(1), **TIMES).install(monkeypatch, pool)
    with pytest.raises(Misuse) as caught:
        list(Pool(ray, analyst, Workers()).run(names(4)))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "3 workers in a row died while starting (the process is gone); give fewer --workers, or more memory"
    )
    assert (len(ray.actors), analyst.tries, ray.alive) == (3, [], [])


def test_a_start_that_works_forgives_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third start works, and its worker dies of its unit: 6 failed starts, never 3 in a row."""
    analyst = Told(lambda unit, attempt, helpers: _die(True), start=lambda nth: _die(nth % 3 != 0))
    _, news = simulate(monkeypatch, lambda now: cores(1), ["u0"], analyst)
    assert news == [Lost("u0", "its worker died: the process is gone (3 attempts)", 3)]
    assert analyst.started == 9


def test_a_crew_gathers_before_it_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three that start, none flies before all are there; a unit that is done leaves its crew to the next."""
    analyst = Told()
    ray, news = simulate(monkeypatch, lambda now: cores(3), names(3), analyst, crew=3)
    assert [item.unit for item in news] == names(3)
    assert analyst.helped == dict.fromkeys(names(3), 2)
    assert len(ray.actors) == 3
    assert ray.now == pytest.approx(3 + 3 * 10, abs=1.0)
    runs = [args for method, _, args in ray.calls if method == "run"]
    assert all(len(helpers) == 2 for _, helpers in runs)


def test_crews_of_two_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    analyst = Told()
    ray, _ = simulate(monkeypatch, lambda now: cores(5), names(2), analyst, crew=2)
    assert analyst.helped == {"u0": 1, "u1": 1}
    assert len(ray.actors) == 4  # two for each unit, whatever there is room for
    assert ray.now == pytest.approx(3 + 10, abs=1.0)


def test_stragglers_are_not_waited_for_longer_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start takes a minute: after GATHER the first goes alone, and the second takes units when it comes."""
    analyst = Told()
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    analyst.start = lambda nth: ray.seconds.update(ready=60.0)  # of those that start from now on
    list(Pool(ray, analyst, Workers(crew=2)).run(names(8)))  # type: ignore[arg-type]
    helped = [len(args[1]) for method, _, args in ray.calls if method == "run"]
    assert helped == [0] * 8
    assert GATHER + 4 * 10 < 60.0 < GATHER + 5 * 10
    assert ray.now == pytest.approx(60 + 2 * 10, abs=4.0)


def test_while_others_fly_nobody_waits_for_a_straggler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four are there when GATHER is over; the third unit goes when the first is home."""
    analyst = Told()
    ray = FakeRay(lambda now: cores(4), **TIMES).install(monkeypatch, pool)
    analyst.start = lambda nth: ray.seconds.update(ready=60.0 if nth >= 3 else 3.0)
    list(Pool(ray, analyst, Workers(crew=2)).run(names(3)))  # type: ignore[arg-type]
    assert (analyst.helped["u0"], analyst.helped["u1"]) == (1, 0)
    assert ray.now == pytest.approx(GATHER + 2 * 10, abs=1.0)


def test_a_helper_that_died_is_replaced_before_the_next_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    analyst = Told()
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)

    def loses_its_helper(unit: str, attempt: int, helpers: int) -> None:
        if unit == "u0":
            helper = next(args[1][0] for method, _, args in ray.calls if method == "run")
            helper.dead = True

    analyst.desk = loses_its_helper
    news = list(Pool(ray, analyst, Workers(crew=2)).run(names(3)))  # type: ignore[arg-type]
    assert news == [Done(unit, f"{unit} analysed", 1) for unit in names(3)]  # no attempt is charged for it
    assert analyst.helped == dict.fromkeys(names(3), 1)
    assert len(ray.actors) == 3
    assert [nth for method, nth, _ in ray.calls if method == "alive"]


def test_helpers_that_die_are_no_failed_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    analyst = Told()
    ray = FakeRay(lambda now: cores(4), **TIMES).install(monkeypatch, pool)

    def loses_its_helpers(unit: str, attempt: int, helpers: int) -> None:
        runs = [args for method, _, args in ray.calls if method == "run"]
        for helper in runs[-1][1]:
            helper.dead = True

    analyst.desk = loses_its_helpers
    assert len(list(Pool(ray, analyst, Workers(crew=4)).run(names(3)))) == 3  # type: ignore[arg-type]
    assert analyst.helped == dict.fromkeys(names(3), 3)


def test_a_bug_is_raised_when_what_flies_is_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def desk(unit: str, attempt: int, helpers: int) -> None:
        if unit == "u0":
            raise ZeroDivisionError("the bug itself")

    analyst, news = Told(desk), []
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    with pytest.raises(UnitError, match=r"(?s)^while analysing u0:.*ZeroDivisionError: the bug itself$"):
        news.extend(Pool(ray, analyst, Workers()).run(names(5)))  # type: ignore[arg-type]
    assert news == [] or news == [Done("u1", "u1 analysed", 1)]
    assert len(news) + 1 == len(analyst.tries)
    assert ray.alive == []


def test_only_nodes_that_live_count() -> None:
    assert nodes_of(FakeRay(lambda now: [{"CPU": 3.0}])) == [{"CPU": 3.0}]
