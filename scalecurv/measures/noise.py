"""How much of a product is rounding: a few in the problem's own dtype against the same in float64."""

import math
from dataclasses import dataclass, replace

import torch

from scalecurv.linalg.inner import dots, norms
from scalecurv.linalg.krylov.extremes import NOISE
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.graphs import inner_eps
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import caution

STREAM = "spot check"
VECTORS = 3
SATURATED = 1e-6  # below this p - p^2 keeps less than ten digits
CAUTION = caution(NOISE, VECTORS)
SWEEPS = 8  # products with J' that tell its norm
ULPS = 4  # of 1, by which p - p^2 may be off


@dataclass(frozen=True)
class Rounding:
    """What the arithmetic adds to H, as far as random vectors tell: H64 + E is what products multiply by.

    `norm` bounds |E|_F and with it every eigenvalue's shift, `trace` |tr E|, both but for a chance of NOISE; they are 0
    where products are in float64, whose rounding is counted in ulps. `share` is |EV|_F / |H64 V|_F over the vectors.
    """

    norm: float = 0.0
    trace: float = 0.0
    share: float = math.nan
    num_matvecs: int = 0

    def of_square(self, trace_h2: float) -> float:
        """By how much |H + E|_F^2 may differ from |H|_F^2."""
        return 2 * math.sqrt(max(trace_h2, 0.0)) * self.norm + self.norm**2


def rounding(evaluation: Evaluation) -> Rounding:
    """The spot check: three Gaussian vectors, a product in each arithmetic for each, remembered.

    In float32 the error can be large beside H itself: where a softmax saturates, p - p^2 cancels. In float64 there is
    nothing to check against: ulps of |H| are taken for granted, but where every softmax is saturated.

    |tr E| is as far from the mean of three v'Ev as CAUTION times the largest |Ev| only where that is as small as it has
    to be for the norm to fail: v'Ev is small there too, and |tr E| hardly above |E|_F where few eigenvalues matter.
    """
    if evaluation.problem.dtype == torch.float64:
        return rounding_in_double(evaluation)

    def compute() -> Rounding:
        problem = evaluation.problem
        V = probes(
            problem.num_params, evaluation.seed, STREAM, range(VECTORS), "gaussian", problem.dtype, problem.device
        )
        exact = evaluation.double_hessian.matmat(V.double())
        off = evaluation.hessian.matmat(V).double() - exact
        sizes, errors = norms(exact), norms(off)
        eps = max(torch.finfo(problem.dtype).eps, ULPS * inner_eps(evaluation.double))
        norm = CAUTION * max(float(errors.max()), eps * float(sizes.max()))
        trace = abs(float(dots(V, off).mean())) + norm
        size, error = float(sizes.norm()), float(errors.norm())
        return Rounding(norm, trace, error / size if size else 0.0, 2 * VECTORS)

    return evaluation.once("rounding", compute)


def rounding_in_double(evaluation: Evaluation) -> Rounding:
    """What float64 itself adds to products, where that can be more than ulps of |H|; remembered."""
    return evaluation.once("rounding in double", lambda: _narrow(evaluation) or _saturated(evaluation))


def _narrow(evaluation: Evaluation) -> Rounding | None:
    """Ulps of the narrowest floats that a float64 model computes in inside, of three products; None where none is.

    The error of such a part cannot be seen in products that all have it: some ulps of |H| are taken for it.
    """
    eps, problem = inner_eps(evaluation.double), evaluation.double
    if not eps:
        return None
    V = probes(problem.num_params, evaluation.seed, STREAM, range(VECTORS), "gaussian", device=problem.device)
    norm = CAUTION * ULPS * eps * float(norms(evaluation.double_hessian.matmat(V)).max())
    saturated = _saturated(evaluation)
    return Rounding(norm + saturated.norm, norm + saturated.trace, num_matvecs=VECTORS + saturated.num_matvecs)


def _saturated(evaluation: Evaluation) -> Rounding:
    """Where no sample leaves a second class more than 1e-6, p - p^2 is off by ulps of 1, and H by c |J|_F^2 times that.

    Of a loss of the user's own nobody knows whether it saturates: it may.
    |J|_F is known from a few |J'v|, v Gaussian: signs would cancel where two samples are alike.
    """
    problem = evaluation.problem
    sure = problem.loss.foreign or (problem.loss.second is not None and runner_up(problem) <= SATURATED)
    if not sure:
        return Rounding()
    rows = problem.num_data * problem.num_outputs
    V = probes(rows, evaluation.seed, STREAM, range(SWEEPS), "gaussian", device=problem.device)
    largest = caution(NOISE, SWEEPS) * float(norms(evaluation.jacobian.rmatmat(V)).max())
    norm = ULPS * torch.finfo(torch.float64).eps * problem.scale * largest**2
    return Rounding(norm, norm, num_matvecs=SWEEPS)


def noise_floor(evaluation: Evaluation) -> Estimate:
    """|HV - H64 V|_F / |H64 V|_F for three random vectors; not applicable where products are in float64."""
    found = rounding(evaluation)
    if math.isnan(found.share):
        return Estimate.not_applicable("products are in float64")
    dtype = str(evaluation.problem.dtype).removeprefix("torch.")
    return Estimate.exact(found.share, f"{VECTORS} products, {dtype} against float64", found.num_matvecs)


def runner_up(problem: Problem) -> float:
    """The largest probability, over all samples, of any class but a sample's first; in 0 .. 1/2.

    Raises ValueError for a loss that knows no classes.
    """
    second = problem.loss.second
    if second is None:
        raise ValueError(f"{problem.loss.name} knows no classes")
    most = 0.0
    with torch.no_grad():
        for batch in problem.own_batches():
            most = max(most, float(second(problem.outputs(problem.theta, batch.x)).detach().max()))
    return problem.shard.largest(most, problem.device)


CANCELLING = 16 * 2.0**-52  # of what cancels: what rounding may leave of it
VISIBLE = 1e-9  # of a number: below this nobody sees it


def cancelled(estimate: Estimate, size: float) -> Estimate:
    """A difference of numbers of this size: exact no longer where their rounding shows in it."""
    slack = CANCELLING * size
    if estimate.status is not Status.EXACT or slack <= VISIBLE * abs(estimate.value):
        return estimate
    return replace(estimate, status=Status.CERTIFIED).widened(slack)
