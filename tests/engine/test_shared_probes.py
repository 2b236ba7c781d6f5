"""One checkpoint's probes over several workers: the rows of one, bit by bit, whoever computes them and whoever dies."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalecurv.analysis import Request
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import read_spec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine import pool
from scalecurv.engine.pool import Pool
from scalecurv.engine.resources import Resources
from scalecurv.engine.shared_probes import SharedProbes, shared_out
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.errors import CheckpointError
from scalecurv.linalg import hutchinson
from scalecurv.measures import measures_named
from scalecurv.measures.evaluation import blocks_of, run_here
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.sweeps.work import Sweep
from tests.commands import HANG
from tests.engine.fake_ray import Actor, Death, FakeRay, MemoryKill, ObjectGone
from tests.engine.fakes import HelperDies
from tests.runs import assert_same_store, carry_out, write_checkpoint, write_run

REQUEST = Request(measures_named(("extremes", "moments"), max_matvecs=200, rtol=1e-4, route="generic"), seed=3)
COUNT = 100
STEP = "step_1.pt"


@given(counts=st.lists(st.integers(1, 64), min_size=1, max_size=12), members=st.integers(1, 6))
def test_every_block_goes_to_one_share_and_no_share_is_much_larger(counts: list[int], members: int) -> None:
    ends = np.cumsum([0, *counts])
    blocks = [range(a, b) for a, b in pairwise(ends)]
    shares = shared_out(blocks, members)
    assert sorted((ids for share in shares for ids in share), key=lambda ids: ids.start) == blocks
    assert all(shares)
    assert len(shares) == min(members, len(blocks))
    sizes = [sum(map(len, share)) for share in shares]
    assert max(sizes) - min(sizes) <= max(counts) or len(shares) < members
    assert shares == shared_out(blocks, members)


def test_the_largest_blocks_go_out_first() -> None:
    """32 32 16 8 4 4 4 over two: in any other order, or by the number of blocks, 56 and 44."""
    assert [sum(map(len, share)) for share in shared_out(blocks_of(100), 2)] == [52, 48]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of a tanh network: tr H^2 is drawn."""
    return write_run(tmp_path_factory.mktemp("shared") / "run", steps=range(2), activation="tanh")


@pytest.fixture(scope="module")
def worker(run: Path) -> Worker:
    return Worker(Task.read(read_spec(run, {})), REQUEST, Arithmetic())


@pytest.fixture
def problem(worker: Worker, run: Path) -> Problem:
    return worker.task.at(load(run / STEP), Arithmetic())[0]


class Helper:
    """An actor that takes its share at a true worker, or ends by `end`."""

    def __init__(self, worker: Worker, end: BaseException | None = None):
        self.worker, self.end, self.asked = worker.on("cpu", 1), end, 0
        self.shares: list[Sequence[range]] = []

    def rows(self, point: Any, work: Any, seed: int, blocks: Sequence[range]) -> Any:
        self.asked += 1
        if self.end is not None:
            raise self.end
        self.shares.append(blocks)
        return self.worker.rows(point, *work, seed, blocks)


def shared_with(*helpers: Helper) -> SharedProbes:
    ray = FakeRay(lambda now: [])
    return SharedProbes(ray, [Actor(ray, helper, nth) for nth, helper in enumerate(helpers)])


def asked(shared: SharedProbes, problem: Problem, run: Path, seed: int = 3) -> list[tuple[np.ndarray, int]]:
    path = run / STEP
    terms = shared.run_terms(str(path), load(path).fingerprint)
    return terms(problem, HessianOperator, hutchinson.terms, seed, blocks_of(COUNT))


def assert_rows(found: list[tuple[np.ndarray, int]], problem: Problem, seed: int = 3) -> None:
    wanted = run_here(problem, HessianOperator, hutchinson.terms, seed, blocks_of(COUNT))
    assert [(rows.tobytes(), cost) for rows, cost in found] == [(rows.tobytes(), cost) for rows, cost in wanted]


@pytest.mark.parametrize("size", [0, 1, 2, 9])
def test_rows_come_home_in_the_order_of_the_probes(worker: Worker, problem: Problem, run: Path, size: int) -> None:
    helpers = [Helper(worker) for _ in range(size)]
    assert_rows(asked(shared_with(*helpers), problem, run), problem)
    shares = shared_out(blocks_of(COUNT), 1 + size)[1:]
    assert [share for helper in helpers for share in helper.shares] == shares  # each block was taken by one


ENDS = [Death("killed"), MemoryError("no room"), MemoryKill("no room"), ObjectGone("its node")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_the_lead_does_what_the_dead_left_and_asks_them_no_more(
    worker: Worker, problem: Problem, run: Path, end: Exception
) -> None:
    dead, well = Helper(worker, end), Helper(worker)
    shared = shared_with(dead, well)
    for seed in (3, 4):
        assert_rows(asked(shared, problem, run, seed), problem, seed)
    assert dead.asked == 1
    assert well.shares == [shared_out(blocks_of(COUNT), members)[-1] for members in (3, 2)]


@pytest.mark.parametrize("error", [FloatingPointError("a product is not finite"), ZeroDivisionError("a bug")])
def test_what_products_raise_at_a_helper_is_raised_as_itself(
    worker: Worker, problem: Problem, run: Path, error: Exception
) -> None:
    with pytest.raises(type(error), match=f"^{error}$"):
        asked(shared_with(Helper(worker, error)), problem, run)


def rows_at(
    placed: Worker, path: Path, fingerprint: str, dtype: str = "torch.float32", params: str | None = None
) -> bytes:
    done = placed.rows((str(path), fingerprint, dtype, params), HessianOperator, hutchinson.terms, 3, blocks_of(COUNT))
    return b"".join(rows.tobytes() for rows, _ in done)


def test_a_worker_helps_in_both_dtypes_with_any_block_and_at_any_checkpoint(worker: Worker, run: Path) -> None:
    placed = worker.on("cpu", 1)
    for name in ("step_1.pt", "step_0.pt", "step_1.pt"):
        checkpoint = load(run / name)
        single = worker.task.at(checkpoint, Arithmetic())[0]
        block = single.restricted("weight$")
        for at in (single, block.astype(torch.float64), single.astype(torch.float64), block, single):
            done = run_here(at, HessianOperator, hutchinson.terms, 3, blocks_of(COUNT))
            found = rows_at(placed, run / name, checkpoint.fingerprint, str(at.dtype), at.params)
            assert found == b"".join(rows.tobytes() for rows, _ in done)


def test_a_worker_reads_a_checkpoint_once(worker: Worker, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed, fingerprint = worker.on("cpu", 1), load(run / STEP).fingerprint
    first = rows_at(placed, run / STEP, fingerprint)
    monkeypatch.setattr("scalecurv.checkpoints.task.load", lambda *args: pytest.fail("it was read already"))
    assert rows_at(placed, run / STEP, fingerprint) == first
    rows_at(placed, run / STEP, fingerprint, "torch.float64")


def test_a_file_that_changed_is_refused_and_the_worker_goes_on(worker: Worker, run: Path, tmp_path: Path) -> None:
    path, placed = write_checkpoint(tmp_path / STEP, seed=1), worker.on("cpu", 1)
    before = load(path).fingerprint
    rows_at(placed, run / STEP, before)
    write_checkpoint(path, seed=2)
    for _ in range(2):  # what it refused is not remembered
        with pytest.raises(CheckpointError) as caught:
            rows_at(placed, path, before)
        assert str(caught.value) == f"{path} changed while it was analysed; run again once it is written"
    assert rows_at(placed, run / STEP, before)


@pytest.fixture(scope="module")
def reference(run: Path) -> Path:
    carry_out(sweep_of(run, run.parent / "serial", Resources("serial", threads=1)))
    return run.parent / "serial"


def sweep_of(run: Path, store: Path, resources: Resources) -> Sweep:
    return Sweep((run,), store, {}, REQUEST, resources=resources)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_pool_stores_the_rows_of_the_loop_with_any_number_of_helpers(
    run: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """All of the engine but the processes."""
    ray = FakeRay(lambda now: [{"CPU": float(size)}], run=1.0).install(monkeypatch, pool)
    monkeypatch.setattr(
        "scalecurv.sweeps.execute.run",
        lambda worker, paths, *_: Pool(ray, worker, WorkerSpec(per_checkpoint=size)).run(paths),
    )
    carry_out(sweep_of(run, tmp_path / "store", Resources()))
    assert_same_store(tmp_path / "store", reference)
    helped = [nth for method, nth, _ in ray.calls if method == "rows"]
    assert len(helped) >= 2 * (size - 1)
    assert len(set(helped)) == (size if size > 1 else 0)  # each of them helped where another led


@pytest.mark.ray
@pytest.mark.fault
def test_two_processes_store_the_rows_of_the_loop_though_the_helper_is_killed(
    cluster: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The helper answers once, and is killed when it is asked again."""
    carry_out(sweep_of(run / STEP, tmp_path / "serial", Resources("serial", threads=1)))
    monkeypatch.setattr("scalecurv.sweeps.execute.Worker", lambda *given: HelperDies(Worker(*given), tmp_path))
    monkeypatch.setattr(pool, "GATHER", HANG)  # a busy machine starts the helper late
    (outcome,) = carry_out(sweep_of(run / STEP, tmp_path / "store", Resources("ray", workers=2, plan="probes")))
    assert (outcome.attempt, outcome.provenance["threads"]) == (1, 1)
    helped = [path.read_text().split() for path in tmp_path.glob("blocks.*")]
    assert len(helped) == 2
    assert len({pid for pid, _ in helped}) == 1
    assert all(int(blocks) > 0 for _, blocks in helped)
    assert_same_store(tmp_path / "store", tmp_path / "serial")
