"""The cost of one checkpoint before any is analysed (products, seconds, bytes), and the seconds that sharing saves."""

import time
from dataclasses import dataclass

import torch

from scalecurv.analysis import Request
from scalecurv.measures.cost import together
from scalecurv.measures.own_findings import cost_at
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.samples.rows import Held

START = 3.0  # seconds until a Ray worker has imported torch and read the data
SERVICE = 450 << 20  # bytes of a Python process with torch in it


@dataclass(frozen=True)
class Cost:
    """The most that one checkpoint takes: Hessian products, those of probes, seconds of one, bytes of a worker."""

    matvecs: int
    probes: int
    seconds: float
    bytes: int

    def worth_splitting(self, members: int) -> bool:
        """Return whether `members` workers at one checkpoint save more time than the start of the helpers takes."""
        return self.probes * self.seconds * (1 - 1 / members) > START

    def eta(self, checkpoints: int, workers: int, members: int) -> float:
        """Return the most seconds of Hessian products on `workers`, where `members` of them share each checkpoint."""
        rounds = -(-checkpoints // max(workers // members, 1))
        return rounds * self.seconds * (self.matvecs - self.probes + self.probes / members)


def cost_of(problem: Problem, request: Request) -> Cost:
    """Return what `request` may cost at a checkpoint like this one; takes a few products, to time one."""
    problem = problem.restricted(request.measures[0].params)
    total = together(cost_at(measure, problem) for measure in request.measures)
    return Cost(
        total.own + total.shared + total.written_out,
        total.own_probes + total.shared_probes,
        _seconds(problem),
        SERVICE + _data_bytes(problem) + total.bytes + _temporary_bytes(problem),
    )


def _seconds(problem: Problem) -> float:
    """Return the seconds of one product: the best of a few, the first of which warms up."""
    H = HessianOperator(problem)
    v = torch.ones(problem.num_params, 1, dtype=problem.dtype, device=problem.device)
    times: list[float] = []
    while len(times) < 2 or (len(times) < 10 and sum(times) < 0.5):
        began = time.perf_counter()
        float(H.matmat(v)[0, 0])  # a number from a GPU comes when the product is done
        times.append(time.perf_counter() - began)
    return min(times)


def _data_bytes(problem: Problem) -> int:
    """Return the bytes of the data in the dtype of the products and in float64; none where it is read anew."""
    if not isinstance(problem.rows, Held):
        return 0
    per_sample = (problem.sample.numel() * (problem.dtype.itemsize + 8) + problem.sample_targets.numel() * 16) / len(
        problem.sample
    )
    return int(problem.num_local * per_sample)


def _temporary_bytes(problem: Problem) -> int:
    return min(problem.memory, 2 * problem.columns * problem.num_params * problem.dtype.itemsize)
