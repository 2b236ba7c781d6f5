"""A dataset over ranks: the rows of one place; what ends a rank ends all of them, and the checkpoint is tried again."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from scalecurv.engine import data_parallel
from scalecurv.engine.attempts import Done, GivenUp, UnexpectedError
from scalecurv.engine.data_parallel import DataParallelGroup
from scalecurv.engine.pool import LOOK, PATIENCE
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.errors import ClusterError, Misuse
from scalecurv.problem.shard import Shard
from tests.engine.fake_ray import Death, FakeRay, MemoryKill


class Group:
    """A placement group: there at once, or never."""

    def __init__(self, ray: FakeRay, bundles: Sequence[dict[str, float]], fits: bool):
        self.ray, self.bundles, self.fits, self.removed = ray, bundles, fits, False

    def wait(self, seconds: float) -> bool:
        self.ray.sleep(0.0 if self.fits else seconds)
        return self.fits

    def remove(self) -> None:
        self.removed = True


class Play:
    """A data-parallel group without processes, whose ranks do what `act(method, rank, attempt, path)` does."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, size: int, act: Callable[..., Any], fits: bool = True, **seconds: float
    ):
        self.ray = FakeRay(lambda now: [], **seconds).install(monkeypatch, data_parallel)
        self.groups: list[Group] = []
        self.strategies: list[str] = []
        self.tries: dict[str, int] = {}
        self.size = size
        play = self

        class Rank:
            def meet(self) -> tuple[str, int]:
                act("meet", 0, len(play.groups), "")
                return "10.0.0.1", 6379

            def join(self, worker: str, workers: WorkerSpec, shard: Shard, host: str, port: int) -> bool:
                assert (worker, workers, host, port) == ("worker", WorkerSpec(threads=2), "10.0.0.1", 6379)
                assert shard.size == size
                self.rank = shard.rank
                act("join", shard.rank, len(play.groups), "")
                return True

            def run(self, path: str) -> str:
                if self.rank == 0:
                    play.tries[path] = play.tries.get(path, 0) + 1
                act("run", self.rank, play.tries[path], path)
                return f"{path} on {self.rank}"

        def placement_group(bundles: Sequence[dict[str, float]], strategy: str) -> Group:
            self.strategies.append(strategy)
            self.groups.append(Group(self.ray, bundles, fits))
            return self.groups[-1]

        def strategy(group: Group, placement_group_bundle_index: int) -> tuple[Group, int]:
            return group, placement_group_bundle_index

        util = {"placement_group": placement_group, "remove_placement_group": lambda group: group.remove()}
        for name, content in {
            "ray.util": {},
            "ray.util.placement_group": util,
            "ray.util.scheduling_strategies": {"PlacementGroupSchedulingStrategy": strategy},
        }.items():
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
            vars(sys.modules[name]).update(content)
        monkeypatch.setattr(data_parallel, "_Rank", Rank)

    def news(self, *paths: str) -> list[Done | GivenUp]:
        self.heard: list[Done | GivenUp] = []
        try:
            told: Any = "worker"
            self.heard.extend(DataParallelGroup(self.ray, told, WorkerSpec(threads=2), self.size).run(paths))
            return self.heard
        finally:
            assert self.ray.alive == []
            assert all(group.removed for group in self.groups)


def fails(method: str, rank: int, times: int, error: BaseException, path: str = "") -> Callable[..., None]:
    def act(at: str, who: int, attempt: int, what: str) -> None:
        if (at, who) == (method, rank) and attempt <= times and path in what:
            raise error

    return act


def nothing(*told: Any) -> None:
    pass


def test_one_group_for_all_checkpoints_each_rank_in_its_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, 3, nothing)
    assert play.news("a", "b") == [Done(path, f"{path} on 0", 1) for path in "ab"]
    (group,) = play.groups
    assert (group.bundles, play.strategies) == ([{"CPU": 2}] * 3, ["PACK"])
    options = {"num_cpus": 2, "num_gpus": 0.0, "max_restarts": 0, "max_task_retries": 0}
    assert play.ray.options == [{**options, "scheduling_strategy": (group, i)} for i in range(3)]
    assert [(method, nth) for method, nth, _ in play.ray.calls if method == "meet"] == [("meet", 0)]


DIED = "a worker of the data-parallel group died: the process is gone"
ENDS = {
    "killed": (Death("the process is gone"), DIED),
    "killed for memory": (MemoryKill("the process is gone"), DIED),
    "out of memory": (MemoryError("no room"), "out of memory: no room"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("rank", [0, 2])
def test_whatever_ends_a_rank_ends_the_group_and_costs_an_attempt(
    monkeypatch: pytest.MonkeyPatch, end: str, rank: int
) -> None:
    error, reason = ENDS[end]
    play = Play(monkeypatch, 3, fails("run", rank, 2, error, "b"))
    assert play.news("a", "b", "c") == [Done("a", "a on 0", 1), Done("b", "b on 0", 3), Done("c", "c on 0", 1)]
    assert (len(play.groups), len(play.ray.actors)) == (3, 9)
    play = Play(monkeypatch, 3, fails("run", rank, 9, error, "b"))
    assert play.news("a", "b", "c")[1] == GivenUp("b", f"{reason} (3 attempts)", 3)
    assert play.tries == {"a": 1, "b": 3, "c": 1}


def test_a_bug_is_raised_and_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, 2, fails("run", 1, 1, ZeroDivisionError("the bug itself"), "b"))
    with pytest.raises(UnexpectedError, match=r"(?s)^while analysing b:.*ZeroDivisionError: the bug itself$") as caught:
        play.news("a", "b", "c")
    assert (play.heard, caught.value.path, play.tries) == ([Done("a", "a on 0", 1)], "b", {"a": 1, "b": 1})


@pytest.mark.parametrize("end", ENDS)
def test_a_rank_that_only_heard_of_silence_is_no_bug(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Rank 0 raises first: its peer is gone, which is known a moment later."""
    error, reason = ENDS[end]

    def act(method: str, rank: int, attempt: int, path: str) -> None:
        if method == "run":
            play.ray.seconds["run"] = 1.5 if rank == 0 else 0.0  # the next to be asked takes so long
            raise RuntimeError("Connection closed by peer") if rank == 0 else error

    play = Play(monkeypatch, 2, act)
    assert play.news("a") == [GivenUp("a", f"{reason} (3 attempts)", 3)]


def test_the_result_waits_for_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(method: str, rank: int, attempt: int, path: str) -> None:
        play.ray.seconds["run"] = 50.0 if rank == 0 else 5.0
        if (method, rank, attempt) == ("run", 1, 1):
            raise Death("the process is gone")

    play = Play(monkeypatch, 2, act)
    assert play.news("a") == [Done("a", "a on 0", 2)]


@pytest.mark.parametrize("method", ["meet", "join"])
@pytest.mark.parametrize("times", [2, 3])
def test_ranks_that_do_not_meet_are_misuse_after_three_tries(
    monkeypatch: pytest.MonkeyPatch, method: str, times: int
) -> None:
    play = Play(monkeypatch, 2, fails(method, 0 if method == "meet" else 1, times, Death("the process is gone")))
    if times < 3:
        assert play.news("a") == [Done("a", "a on 0", 1)]  # it costs the checkpoint no attempt
    else:
        with pytest.raises(Misuse) as caught:
            play.news("a")
        assert str(caught.value).startswith("2 workers did not come together in 3 tries (")
        assert str(caught.value).endswith("the process is gone); give fewer --workers, or --plan checkpoints")
    assert len(play.groups) == 3


def test_a_group_without_room_is_given_up_after_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, 2, nothing, fits=False)
    with pytest.raises(ClusterError) as caught:
        play.news("a")
    said = "the cluster has no room for 2 workers of {'CPU': 2} at once; give fewer --workers"
    assert (str(caught.value), play.ray.actors) == (said, [])
    assert PATIENCE <= play.ray.now <= PATIENCE + 2 * LOOK


def test_leaving_early_ends_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, 2, nothing)
    running = DataParallelGroup(play.ray, "worker", WorkerSpec(threads=2), 2).run(["a", "b"])  # type: ignore[arg-type]
    next(running)
    assert (play.ray.alive, play.groups[0].removed) == ([0, 1], False)
    running.close()
    assert (play.ray.alive, play.groups[0].removed) == ([], True)
