"""The threads of the for loop: as asked, else the faster of one and all for a product, measured in a few rounds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import scalecurv as sc
from scalecurv.analysis import Request
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import read_spec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.threads import LONGEST, ROUNDS, Threads, faster_threads, fixed_threads
from scalecurv.engine.worker import Worker
from scalecurv.measures import measures_named
from tests.runs import write_run

STEP = "step_1.pt"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Product:
    """A product of so many seconds by the number of threads, on a clock of its own."""

    def __init__(self, seconds: dict[int, float], first: float = 0.0):
        self.seconds, self.first, self.now, self.count = seconds, first, 0.0, 0

    def __call__(self) -> None:
        self.now += self.seconds[torch.get_num_threads()] + (0.0 if self.count else self.first)
        self.count += 1


@pytest.mark.parametrize(
    ("seconds", "first", "best", "products"),
    [
        ({1: 0.010, 2: 0.006}, 0.0, 2, 2 * ROUNDS),  # no clear answer: all rounds
        ({1: 0.010, 2: 0.0096}, 0.0, 1, 2 * ROUNDS),  # too little is gained
        ({1: 0.010, 2: 0.100}, 0.0, 1, 6),  # a busy machine
        ({1: 0.010, 2: 0.004}, 0.3, 2, 6),  # the first call warms up and counts for nothing
        ({1: 4.0, 2: 2.2}, 0.0, 2, 2),  # a large product is taken once each
        ({1: 0.2, 2: 0.15}, 0.0, 2, 4),
    ],
)
def test_the_faster_of_one_and_all(seconds: dict[int, float], first: float, best: int, products: int) -> None:
    product = Product(seconds, first)
    chosen = faster_threads(product, 2, lambda: product.now)
    assert (chosen.count, product.count, torch.get_num_threads()) == (best, products, best)
    assert chosen.reason.startswith("measured: a product takes ")
    assert product.now <= LONGEST + first + 2 * sum(seconds.values())


def test_what_is_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert fixed_threads(5, shared=True) == Threads(5, "--threads")
    assert fixed_threads(None, shared=True) == Threads(1, "as a Ray worker has")
    assert fixed_threads(None, shared=False) == Threads(3, "OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert fixed_threads(None, shared=False) is None


def test_a_checkpoint_is_measured_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path)
    worker = Worker(Task.read(read_spec(run, {})), Request(measures_named(("gradient",))), Arithmetic())
    first = load(run / STEP)
    threads = worker.faster_threads(first, 2)
    assert threads is not None
    read = list[Path]()
    monkeypatch.setattr(Task, "load", lambda self, path: read.append(path) or load(path))
    analyse = worker.having(first).on("cpu", threads.count, why=threads.reason)
    once, again = analyse(str(run / STEP)), analyse(str(run / STEP))
    assert read == [run / STEP]  # by the second analysis
    assert once.records[0].estimates == again.records[0].estimates
    assert once.provenance["threads"] == threads.count
    assert once.provenance["threads_reason"] == threads.reason


def test_a_checkpoint_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    worker = Worker(Task.read(read_spec(run, {})), Request(measures_named(("gradient",))), Arithmetic())
    first = load(run / STEP)
    torch.save({name: 2 * tensor for name, tensor in first.tensors.items()}, run / STEP)
    outcome = worker.having(first).on("cpu", 1)(str(run / STEP))
    assert outcome.fingerprint == load(run / STEP).fingerprint != first.fingerprint


def test_a_sweep_leaves_the_settings_of_a_notebook(tmp_path: Path) -> None:
    """Threads and TF32 belong to the whole process, which has work of its own after a sweep."""
    write_run(tmp_path / "run")
    before = torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(3)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        sc.sweep(tmp_path / "run", tmp_path / "store", measures="gradient", engine="serial", threads=1)
        assert torch.get_num_threads() == 3
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
