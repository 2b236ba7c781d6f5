"""What one checkpoint costs before any is analysed: products, seconds, bytes; and what splitting it would save."""

import time
from collections import Counter
from dataclasses import dataclass

import torch

from scalecurv.analysis import Request
from scalecurv.measures.measure import Measure, RoutedMeasure
from scalecurv.measures.route import MAX_LANCZOS, dense_bytes
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem

APART = ("spectrum", "principal", "gauss_newton")  # measures with a budget of their own
OF_EIGENVALUES = ("curvature", "principal")  # planned measures that ask for the ends of the spectrum too
SLOPE = 1  # product along the unit gradient
POINT = 8  # products along the gradient, and of the spot check
FEW = POINT + MAX_LANCZOS  # products of measures that draw no probes
START = 3.0  # seconds until a Ray worker has imported torch and read the data
SERVICE = 450 << 20  # bytes of a Python process with torch in it


@dataclass(frozen=True)
class Cost:
    """Of one checkpoint: Hessian products at most, how many are of probes, seconds of one, bytes of a worker."""

    matvecs: int
    probes: int
    seconds: float
    bytes: int

    def worth_splitting(self, members: int) -> bool:
        """Whether `members` workers save more than the start of those that help takes."""
        return self.probes * self.seconds * (1 - 1 / members) > START

    def eta(self, units: int, workers: int, members: int) -> float:
        """Seconds of products that `units` take at most on `workers` in crews of `members`, those of J apart."""
        crews = max(workers // members, 1)
        rounds = -(-units // crews)
        return rounds * self.seconds * (self.matvecs - self.probes + self.probes / members)


def cost_of(problem: Problem, request: Request) -> Cost:
    """What `request` may cost at a checkpoint like this one; takes a few products, to time one."""
    apart, shared, probes, written = Counter[str](), POINT, 0, 0
    problem = problem.restricted(request.measures[0].params)
    for measure in request.measures:
        most = getattr(measure, "max_matvecs", 0)
        if _writes_out(measure, problem):
            written = max(written, 0 if _of_structure(measure, problem) else problem.num_params)
            apart["matvecs"] += {"principal": SLOPE, "gauss_newton": problem.num_params}.get(measure.name, 0)
        elif measure.name in APART:
            apart["matvecs"] += most
            apart["probes"] += most // 2 if isinstance(measure, RoutedMeasure) else 0
        elif isinstance(measure, RoutedMeasure):
            mlp = measure.strategy.structure(problem)
            exact = mlp is not None and measure.strategy.square_is_exact(problem, mlp)
            drawn = 0 if exact else measure.strategy.budget.probes
            shared, probes = max(shared, most - measure.strategy.budget.probes + drawn), max(probes, drawn)
        elif hasattr(measure, "strategy"):
            shared = max(shared, min(most, FEW))
    matvecs = apart["matvecs"] + shared + written
    return Cost(matvecs, apart["probes"] + probes, _seconds(problem), _bytes(problem, request))


def _writes_out(measure: Measure, problem: Problem) -> bool:
    """Whether this measure is one that writes H out at a problem like this."""
    strategy = getattr(measure, "strategy", None)
    return strategy is not None and strategy.dense_is_taken(problem)


def _of_structure(measure: Measure, problem: Problem) -> bool:
    """Whether nothing of H is left to be written out: tr H and tr H^2 are sums, and no eigenvalue of H is asked for."""
    if not isinstance(measure, RoutedMeasure) or measure.name in OF_EIGENVALUES:
        return False
    mlp = measure.strategy.structure(problem)
    known = mlp is not None and measure.strategy.trace_is_exact(problem)
    return known and mlp is not None and measure.strategy.square_is_exact(problem, mlp)


def _seconds(problem: Problem) -> float:
    """Of one product: the best of a few, the first of which warms up."""
    H = HessianOperator(problem)
    v = torch.ones(problem.num_params, 1, dtype=problem.dtype, device=problem.device)
    times: list[float] = []
    while len(times) < 2 or (len(times) < 10 and sum(times) < 0.5):
        began = time.perf_counter()
        float(H.matmat(v)[0, 0])  # a GPU answers when it is done
        times.append(time.perf_counter() - began)
    return min(times)


def _bytes(problem: Problem, request: Request) -> int:
    """Data in the dtype of the products and in float64, temporaries, and bases or matrices; each within its memory."""
    itemsize = problem.dtype.itemsize
    data = problem.x.numel() * (itemsize + 8) + problem.y.numel() * 16
    memory = max((getattr(measure, "memory", 0) for measure in request.measures), default=0)
    vector = problem.num_params * itemsize
    bases = min(memory, 2 * MAX_LANCZOS * vector)
    if any(_writes_out(measure, problem) for measure in request.measures):
        bases = max(bases, dense_bytes(problem.num_params))
    return SERVICE + data + bases + min(problem.memory, 2 * problem.columns * vector)
