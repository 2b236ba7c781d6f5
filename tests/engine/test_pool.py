"""The pool under fire: workers that are killed, run out of memory, meet bugs or never start."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scalecurv.engine import pool
from scalecurv.engine.attempts import Done, GivenUp, UnexpectedError
from scalecurv.engine.pool import Pool
from scalecurv.engine.worker_spec import WorkerSpec
from tests.commands import deadline, wait_for
from tests.engine.fakes import Scripted, attempts

pytestmark = [pytest.mark.ray, pytest.mark.fault]

PATHS = ["good-1", "poison", "good-2", "once", "memory", "good-3", "hungry", "good-4"]
ENDLESS = "endless"  # comes last, and is still on its way when nobody wants to hear more


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("misfortunes")


@pytest.fixture(scope="module")
def news(cluster: Any, folder: Path) -> list[Done | GivenUp]:
    """One pool of two workers, and every misfortune at once: the first worker dies while it starts."""
    running = Pool(cluster, Scripted(folder, stillborn=1), WorkerSpec(2)).run([*PATHS, ENDLESS])
    with deadline():
        news = [next(running) for _ in PATHS]
        assert wait_for(lambda: attempts(folder, ENDLESS) == 1)
        running.close()
    return news


@pytest.fixture(scope="module")
def by_path(news: list[Done | GivenUp]) -> dict[str, Done | GivenUp]:
    return {item.path: item for item in news}


def test_every_checkpoint_is_heard_of_exactly_once(news: list[Done | GivenUp]) -> None:
    assert Counter(item.path for item in news) == Counter(PATHS)


def test_others_are_done_at_the_first_attempt(by_path: dict[str, Done | GivenUp], folder: Path) -> None:
    for path in ("good-1", "good-2", "good-3", "good-4"):
        assert by_path[path] == Done(path, f"{path} analysed", 1)
    assert (folder / "told").read_text() == "cpu 1"


def test_a_checkpoint_that_kills_its_workers_is_given_up_after_three_attempts(
    by_path: dict[str, Done | GivenUp], folder: Path
) -> None:
    lost = by_path["poison"]
    assert isinstance(lost, GivenUp)
    assert lost.attempt == 3 == attempts(folder, "poison")
    assert lost.reason.startswith("its worker died: ")
    assert lost.reason.endswith(" (3 attempts)")
    assert "\n" not in lost.reason


def test_a_worker_killed_once_costs_one_attempt(by_path: dict[str, Done | GivenUp], folder: Path) -> None:
    assert by_path["once"] == Done("once", "once analysed", 2)
    assert attempts(folder, "once") == 2


def test_out_of_memory_is_tried_three_times(by_path: dict[str, Done | GivenUp], folder: Path) -> None:
    assert by_path["memory"] == GivenUp("memory", "out of memory: no room for a basis (3 attempts)", 3)
    assert by_path["hungry"] == Done("hungry", "hungry analysed", 2)
    assert attempts(folder, "memory") == 3


def test_the_dead_are_replaced_and_closing_leaves_no_worker_at_work(news: list[Done | GivenUp], folder: Path) -> None:
    pids = Scripted(folder).pids
    deaths = 1 + 3 + 1  # while starting, poison, once
    assert len(set(pids)) in (2 + deaths - 1, 2 + deaths)  # the last may be called off while it starts
    assert wait_for(lambda: all(map(gone, pids)))


def test_a_bug_stops_new_work_and_is_raised_once_all_running_work_has_ended(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running work ends only when the pool has heard of the bug."""

    class Heard(UnexpectedError):
        def __init__(self, path: str, traceback: str):
            super().__init__(path, traceback)
            Scripted(tmp_path).hear()

    monkeypatch.setattr(pool, "UnexpectedError", Heard)
    news: list[Done | GivenUp] = []
    running = Pool(cluster, Scripted(tmp_path), WorkerSpec(2)).run(["bug", "slow", "never-1", "never-2"])
    with pytest.raises(UnexpectedError) as caught:
        news.extend(running)
    assert news == [Done("slow", "slow analysed", 1)]
    assert caught.value.path == "bug"
    first, *traceback = str(caught.value).splitlines()
    assert first == "while analysing bug:"
    assert traceback[-1] == "ZeroDivisionError: the bug itself"
    assert any('fakes.py", line' in line and "_analyse" in line for line in traceback)
    assert attempts(tmp_path, "bug") == 1
    assert attempts(tmp_path, "never-1") == attempts(tmp_path, "never-2") == 0
    assert wait_for(lambda: all(map(gone, Scripted(tmp_path).pids)))
