"""The cost of one checkpoint before any is analysed (products, seconds, bytes), and the seconds that sharing saves."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from scalecurv.analysis import Request
from scalecurv.measures.cost import together
from scalecurv.measures.measure import Measure
from scalecurv.measures.own_findings import cost_at
from scalecurv.measures.peak import LIBRARIES, peak_of
from scalecurv.measures.plan import Planned, plan_of
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.samples.arrays import num_bytes
from scalecurv.samples.rows import Held

START = 3.0  # seconds until a Ray worker has imported torch and read the data
SERVICE = 450 << 20  # bytes of a Python process with torch in it


@dataclass(frozen=True)
class Cost:
    """The most that one checkpoint takes: Hessian products, those of probes, seconds of one, bytes of a worker.

    `plan` has a row for all quantities that are computed together, and `gradient` is the seconds of one gradient.
    """

    matvecs: int
    probes: int
    seconds: float
    bytes: int
    plan: tuple[Planned, ...] = ()  # of each quantity
    gradient: float = 0.0  # seconds of one gradient

    def worth_splitting(self, members: int) -> bool:
        """Return whether `members` workers at one checkpoint save more time than the start of the helpers takes."""
        return self.probes * self.seconds * (1 - 1 / members) > START

    def eta(self, checkpoints: int, workers: int, members: int) -> float:
        """Return the most seconds of Hessian products on `workers`, where `members` of them share each checkpoint."""
        rounds = -(-checkpoints // max(workers // members, 1))
        return rounds * self.seconds * (self.matvecs - self.probes + self.probes / members)


def cost_of(problem: Problem, request: Request) -> Cost:
    """Return what `request` may cost at a checkpoint like this one; takes a few products, to time one."""
    whole, problem = problem, problem.restricted(request.measures[0].params)
    total = together(cost_at(measure, problem) for measure in request.measures)
    return Cost(
        total.own + total.shared + total.written_out,
        total.own_probes + total.shared_probes,
        _seconds(problem),
        _bytes(whole, request.measures),
        plan_of(request.measures, whole),
        _best(lambda: loss_and_gradient(problem)),
    )


def _seconds(problem: Problem) -> float:
    """Return the seconds of one product: the best of a few, the first of which warms up."""
    H = HessianOperator(problem)
    v = torch.ones(problem.num_params, 1, dtype=problem.dtype, device=problem.device)
    return _best(lambda: float(H.matmat(v)[0, 0]))  # a number from a GPU comes when the product is done


def _best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few runs, the first of which warms up."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < 10 and sum(times) < 0.5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def _bytes(problem: Problem, measures: Sequence[Measure]) -> int:
    """Return the most bytes of a worker: Python with torch, the model, the data, and the largest of the measures."""
    data = num_bytes(problem.rows.x) + num_bytes(problem.rows.y) if isinstance(problem.rows, Held) else 0
    model = sum(p.numel() * p.element_size() for p in problem.model.parameters())
    return SERVICE + model + data + max(peak_of(problem.restricted(m.params), m) for m in measures) - LIBRARIES
