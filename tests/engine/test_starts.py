"""WorkerSpec that die while they start: nothing works yet, or others do; and a bug that stops everything new."""

from itertools import pairwise

import pytest

from scalecurv.engine import pool
from scalecurv.engine.attempts import Done, UnexpectedError
from scalecurv.engine.pool import PATIENCE, REST, Pool
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.errors import ClusterError, Misuse
from tests.engine.fake_ray import Death, FakeRay, Unreadable
from tests.engine.test_workers import TIMES, Told, cores, names, simulate


def dies() -> None:
    raise Death


def test_starts_that_fail_while_another_works_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is dead before Ray knows it: all starts but the first fail."""
    worker = Told(start=lambda nth: dies() if nth > 1 else None)
    ray, news = simulate(monkeypatch, lambda now: cores(2), names(6), worker)
    assert sorted(item.path for item in news) == names(6)
    assert {type(item) for item in news} == {Done}
    assert len(ray.actors) > 5
    later = ray.born[2:]
    assert all(b - a >= REST for a, b in pairwise(later))


def test_where_for_long_no_start_works_any_more_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker dies of its checkpoint, and no other comes to life."""
    worker = Told(lambda path, attempt, helpers: dies(), start=lambda nth: dies() if nth > 1 else None)
    ray = FakeRay(lambda now: cores(1), **TIMES).install(monkeypatch, pool)
    with pytest.raises(ClusterError) as caught:
        list(Pool(ray, worker, WorkerSpec()).run(names(2)))  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"no worker could be started for {2 * PATIENCE:g} s (")
    assert 2 * PATIENCE < ray.now < 2 * PATIENCE + 30
    assert ray.alive == []


def test_a_worker_that_cannot_read_its_work_is_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(nth: int) -> None:
        raise Unreadable("System error: no\ntraceback: lines\nModuleNotFoundError: No module named 'users_own'\n")

    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    with pytest.raises(Misuse) as caught:
        list(Pool(ray, Told(start=unread), WorkerSpec()).run(names(2)))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "a worker cannot read its work (ModuleNotFoundError: No module named 'users_own'); install the modules of your "
        "own measures on every node, or put them on PYTHONPATH there"
    )
    assert ray.alive == []


def test_after_a_bug_nothing_new_starts_not_even_what_died_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(path: str, attempt: int, helpers: int) -> None:
        if path == "u0":
            raise ZeroDivisionError("the bug itself")
        dies()

    worker = Told(act)
    ray = FakeRay(lambda now: cores(2), **TIMES).install(monkeypatch, pool)
    with pytest.raises(UnexpectedError, match="u0"):
        list(Pool(ray, worker, WorkerSpec()).run(names(4)))  # type: ignore[arg-type]
    assert sorted(worker.tries) == ["u0", "u1"]
