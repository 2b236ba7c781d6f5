"""Where memory runs out a measure begins again with half of a mini-batch and of its bases, and says so."""

import logging
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import scalecurv as sc
from scalecurv.analysis import Analysis
from scalecurv.measures import measures_named
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.shard import Shard
from scalecurv.samples.batch import Batch
from tests.networks import problem


def planted(monkeypatch: pytest.MonkeyPatch, most: int, error: BaseException) -> list[int]:
    """Let products with mini-batches of more than `most` samples raise `error`; return the sizes that were tried."""
    tried = list[int]()
    product = HessianOperator._product

    def hungry(self: HessianOperator, batch: Batch, V: Tensor) -> Tensor:
        if batch.start == 0:
            tried.append(len(batch.x))
        if len(batch.x) > most:
            raise error
        return product(self, batch, V)

    monkeypatch.setattr(HessianOperator, "_product", hungry)
    return tried


ERRORS = (
    MemoryError("no room"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
)


@pytest.mark.parametrize("error", ERRORS)
def test_numbers_come_with_less(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    point = problem("relu", batch_size=7)
    (measure,) = measures_named(("extremes",), route="generic")
    expected = Analysis(point).compute(measure).estimates["lambda_max"]
    tried = planted(monkeypatch, 2, error)
    with caplog.at_level(logging.WARNING, "scalecurv"):
        analysis = Analysis(problem("relu", batch_size=7))
        found = analysis.compute(measure).estimates["lambda_max"]
    assert list(dict.fromkeys(tried)) == [7, 4, 2]
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.method == f"{expected.method}; after memory ran out, 2 samples a mini-batch"
    assert [record.getMessage()[:58] for record in caplog.records] == [
        "memory ran out in measure extremes; it begins again with 4",
        "memory ran out in measure extremes; it begins again with 2",
    ]
    assert analysis.total_matvecs >= expected.num_matvecs


def test_two_halvings_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = planted(monkeypatch, 0, MemoryError("no room"))
    with pytest.raises(MemoryError, match="no room"):
        Analysis(problem("relu", batch_size=7)).compute(measures_named(("extremes",))[0])
    assert tried == [7, 4, 2]


def test_no_other_error_and_no_rank_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = planted(monkeypatch, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        Analysis(problem("relu", batch_size=7)).compute(measures_named(("extremes",))[0])
    assert tried == [7]
    from scalecurv.measures.back_off import ran_out

    here = problem("relu")
    assert ran_out(here, MemoryError())
    assert not ran_out(here._copy(shard=Shard(0, 2)), MemoryError())


class Wide(torch.nn.Linear):
    """A layer that has memory for `most` samples at a time."""

    most = 100

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise MemoryError("no room")
        return super().forward(x)


def test_no_check_takes_more_samples_than_fit() -> None:
    """Where 64 samples and 32 are too many, 16 are few enough for the check of the derivatives too."""
    model = Wide(4, 1)
    point = sc.Problem(model, (torch.ones(64, 4), torch.ones(64, 1)), "mse")
    model.most = 16
    assert "after memory ran out, 16 samples" in sc.analyze(point, "gradient")["ghg"].method


def test_a_smaller_problem_takes_half() -> None:
    point = problem("relu", batch_size=4, memory=1 << 30)
    less = point.smaller()
    assert less.batch_size == 2
    taken = point.footprint.memory(point.batch_size, point.columns)
    assert less.memory == taken // 2 < point.memory
    assert less.footprint.columns(taken, point.batch_size) == point.columns  # it is all that they take
    assert 1 <= less.columns < point.columns


def test_bases_shrink_with_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from scalecurv.measures.back_off import with_less

    point = problem("relu")
    (measure,) = measures_named(("extremes",))
    before = measure.cost(point).bytes
    less = with_less(measure, point)
    assert less is not None
    assert less[0].asked.memory == before // 2
    assert with_less(replace(measure, route="dense"), point) is None


PROGRAM = """
import resource, torch, scalecurv as sc
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 512), torch.nn.Tanh(), torch.nn.Linear(512, 1))
def made(n):
    return sc.Problem(model, (torch.ones(n, 4), torch.ones(n, 1)), "mse", memory=8 << 30)
sc.analyze(made(8), "gradient")
used = int(open("/proc/self/status").read().split("VmSize:")[1].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (220 << 20),) * 2)
results = sc.analyze(made(8_000), "gradient")
print(results["gh2g"].method)
"""


def test_a_limit_of_the_system_is_met() -> None:
    """As `ulimit -v` sets it, in a process that plans with more than it can have."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert "after memory ran out" in done.stdout, done.stderr
