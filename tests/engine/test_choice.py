"""The engine of "auto": work begins in series, and Ray takes over once it saves more time than its start takes."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scalecurv.engine import dispatch
from scalecurv.engine.attempts import Done
from scalecurv.engine.choice import FEW_PRODUCTS, RAY_START, WARM_UP, Choice
from scalecurv.engine.cost import Cost
from scalecurv.engine.dispatch import choose, run, serial_threads
from scalecurv.engine.resources import Resources
from tests.engine.fake_ray import FakeRay


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores and no GPU, outside any cluster."""
    for name in ("RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_ADDRESS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dispatch, "num_cores", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def costs(seconds: float) -> Cost:
    return Cost(150, 100, seconds, 0)


DEAR = 1.01 * RAY_START / 0.75 / FEW_PRODUCTS / 4  # seconds of a product, at which four checkpoints just pay for Ray


@pytest.mark.parametrize(
    ("seconds", "resources", "engine", "reason", "may_change"),
    [
        (DEAR, Resources(), "ray", f"{FEW_PRODUCTS} products at each checkpoint alone take 15 s in series", False),
        (0.9 * DEAR, Resources(), "serial", "Ray's start takes 11 s, which the work may not save", True),
        (DEAR, Resources(workers=2), "serial", "Ray's start takes 11 s, which the work may not save", True),
        (DEAR, Resources(threads=3), "serial", "room for one worker", False),
        (100.0, Resources("serial"), "serial", "--engine serial", False),
        (0.0, Resources("ray"), "ray", "--engine ray", False),
        (0.0, Resources(address="h:1"), "ray", "its cluster is running", False),
        (100.0, Resources(workers=1), "serial", "--workers 1", False),
        (0.0, Resources(plan="probes"), "ray", "--plan probes", False),
    ],
)
def test_the_engine_and_its_reason(
    seconds: float, resources: Resources, engine: str, reason: str, may_change: bool
) -> None:
    assert choose(resources, 4, lambda: costs(seconds)) == Choice(engine, reason, may_change)


def test_a_first_checkpoint_that_cannot_be_read_tells_nothing() -> None:
    assert choose(Resources(), 4, lambda: None).may_change
    assert choose(Resources(), 4).may_change


def test_one_checkpoint_is_work_for_this_process() -> None:
    assert choose(Resources(), 1, lambda: costs(100.0)) == Choice("serial", "one checkpoint")


class Machine:
    """A worker whose checkpoints take the seconds in their names, on a clock of its own, in this process or on Ray."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now, self.told, self.ray_paths = 0.0, "", list[str]()
        monkeypatch.setattr(dispatch, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(dispatch, "_ray", lambda resources: nullcontext(FakeRay(lambda now: [{"CPU": 4.0}])))
        monkeypatch.setattr(dispatch, "Pool", lambda *given: SimpleNamespace(run=self._on_ray))

    def cost(self, *given: Any) -> None:
        return None

    def on(self, device: str, threads: int, why: str = "") -> Any:
        self.told = f"{device} {threads}"
        return self._analyse

    def _analyse(self, path: str) -> str:
        self.now += float(path.partition(" ")[0])
        return f"{path} analysed"

    def _on_ray(self, paths: list[str]) -> Any:
        self.ray_paths = list(paths)
        return (Done(path, f"{path} analysed", 1) for path in paths)


def engines(machine: Machine, seconds: list[float], resources: Resources | None = None) -> str:
    """The engine of each checkpoint, s or r; all arrive once, and the consumer's own time counts for nothing."""
    paths = [f"{second} {i}" for i, second in enumerate(seconds)]
    news = []
    for item in run(machine, paths, resources or Resources()):  # type: ignore[arg-type]
        machine.now += 1000.0  # the store is slow
        news.append(item)
    assert sorted(news, key=lambda done: done.path) == sorted(
        (Done(path, f"{path} analysed", 1) for path in paths), key=lambda done: done.path
    )
    return "".join(item.engine[0] for item in news)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.1] * 40, "s" * 40),  # 4 s in all
        ([WARM_UP] + [0.1] * 40, "s" * 41),  # the first is slow as imports are
        ([60.0] * 3, "srr"),
        ([60.0] * 2, "ss"),  # one that is left has nobody to share with
        ([0.1, 0.1, 0.1] + [60.0] * 5, "sss" + "s" + "rrrr"),  # it shows later
        ([2.0] * 20, "sssss" + "r" * 15),  # (10 - 5) / 5 x 15 x 3/4 = 11.25 s are saved after five
    ],
)
def test_ray_takes_over_when_it_pays(monkeypatch: pytest.MonkeyPatch, seconds: list[float], expected: str) -> None:
    machine = Machine(monkeypatch)
    assert engines(machine, seconds) == expected
    assert machine.told == "cpu 1"  # the threads of a Ray worker
    assert len(machine.ray_paths) == expected.count("r")


def test_what_was_asked_for_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    assert engines(machine, [60.0] * 4, Resources("serial")) == "ssss"
    assert machine.told == "cpu 4"
    assert engines(machine, [60.0] * 4, Resources(workers=1)) == "ssss"
    assert engines(machine, [0.1] * 4, Resources("ray")) == "rrrr"


def test_threads_asked_for_hold_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    assert engines(machine, [60.0] * 3, Resources(threads=2)) == "srr"
    assert machine.told == "cpu 2"


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("2,1", 2), ("", 4), ("0", 4), ("many", 4), ("-2", 4)])
def test_omp_num_threads_is_the_default_of_the_loop(monkeypatch: pytest.MonkeyPatch, value: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    alone = Choice("serial", "one checkpoint")
    assert serial_threads(Resources(), alone).count == threads
    assert serial_threads(Resources(threads=5), alone).count == 5
    assert serial_threads(Resources(), Choice("serial", "", may_change=True)).count == 1


def test_the_choice_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "scalecurv")
    machine = Machine(monkeypatch)
    engines(machine, [60.0] * 3)
    engines(machine, [1.0] * 3, Resources(workers=1))
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("DEBUG", "engine serial: Ray's start takes 11 s, which the work may not save"),
        ("DEBUG", "threads 1: as a Ray worker has"),
        ("DEBUG", "engine ray for the 2 left: 110 s in series, shared by 2 workers"),
        ("INFO", "engine serial: --workers 1"),
        ("DEBUG", "threads 4: all cores"),
    ]
