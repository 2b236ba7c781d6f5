"""Bounds on the rounding error of Hessian products, from products with three random vectors in two dtypes."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scalecurv.linalg.inner import dots, norms
from scalecurv.linalg.krylov.extremes import NOISE
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.graphs import inner_eps
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import caution

STREAM = "spot check"
VECTORS = 3
KEPT = 8  # of `memory` that these vectors and their products may take between two numbers
CAUTION = caution(NOISE, VECTORS)
SATURATED = 1e-6  # where every sample's second class has at most this probability, p - p^2 keeps less than ten digits
SWEEPS = 8  # products with J' that bound its norm
ULPS = 4  # error of p - p^2 in ulps of 1
CANCELLING = 16 * 2.0**-52  # error of a difference, relative to the numbers that are subtracted
VISIBLE = 1e-9  # relative error below which a number counts as exact


@dataclass(frozen=True)
class Perturbation:
    """Bounds on a symmetric matrix E that is added to a matrix A: |E|_F <= `norm` and |tr E| <= `trace`.

    Both bounds hold except with probability `chance`; they took `num_matvecs` products. |E|_F bounds the shift of
    every eigenvalue. (Weyl 1912)
    """

    norm: float = 0.0
    trace: float = 0.0
    chance: float = 0.0
    num_matvecs: int = 0

    def of_square(self, square: float) -> float:
        """Return a bound on ||A + E|_F^2 - |A|_F^2|, which is 2 |A|_F |E|_F + |E|_F^2, for `square` = |A|_F^2.

        Example:
            >>> Perturbation(norm=0.5).of_square(4.0)
            2.25
        """
        return 2 * math.sqrt(max(square, 0.0)) * self.norm + self.norm**2


def cautious_norm(products: Tensor) -> float:
    """Return a bound on |E|_F from the products (P, 3) of E with three Gaussian vectors; it fails with chance 1e-4.

    The bound is `CAUTION` times the largest of the three norms; see `caution` for the proof.
    """
    return CAUTION * float(norms(products).max())


def spot_vectors(
    evaluation: Evaluation, stream: str = STREAM, dtype: torch.dtype = torch.float64, ids: range = range(VECTORS)
) -> Tensor:
    """Return the Gaussian vectors of a spot check, (P, 3), or those of these numbers."""
    problem = evaluation.problem
    return probes(problem.num_params, evaluation.seed, stream, ids, "gaussian", dtype, problem.device)


def pilots_fit(problem: Problem, memory: int) -> bool:
    """Return True where an eighth of `memory` bytes holds the vectors of a spot check and their products."""
    return 2 * VECTORS * problem.num_params * problem.dtype.itemsize <= memory // KEPT


@remembered
def spot_products(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """Return the vectors V (P, 3) of the spot check in the problem's dtype, and HV; remembered."""
    V = spot_vectors(evaluation, dtype=evaluation.problem.dtype)
    return V, evaluation.hessian.matmat(V)


@remembered
def rounding(evaluation: Evaluation) -> Perturbation:
    """Return bounds on the rounding error E of products with H, from three products in the problem's dtype and float64.

    In float32 the error can be as large as H itself: where a softmax saturates, p - p^2 cancels. In float64 there is
    nothing to compare with: the bounds are those of `rounding_in_double`, as every interval allows for ulps of |H|.
    What saturates in float64 is lost in the narrower dtype too, and no difference of the two shows it: it is added.

    |tr E| is bounded by the mean of three v'Ev plus the bound on |E|_F. The mean is off by more only where |Ev| is
    small for all three v, in which case the bound on |E|_F fails too.
    """
    if evaluation.problem.dtype == torch.float64:
        return rounding_in_double(evaluation)
    seen, lost = _spot_check(evaluation)[0], _saturated(evaluation)
    spent = seen.num_matvecs + lost.num_matvecs
    return Perturbation(seen.norm + lost.norm, seen.trace + lost.trace, seen.chance + lost.chance, spent)


@remembered
def _spot_check(evaluation: Evaluation) -> tuple[Perturbation, float]:
    """Return the bounds on E, and |EV|_F / |HV|_F, from products with V in the problem's dtype and in float64."""
    kept = pilots_fit(evaluation.problem, evaluation.problem.memory)
    parts = [slice(0, VECTORS)] if kept else [slice(j, j + 1) for j in range(VECTORS)]  # else one by one
    sizes, errors, along = [], [], []
    for columns in parts:
        if kept:
            V, rounded = spot_products(evaluation)
        else:
            V = spot_vectors(evaluation, dtype=evaluation.problem.dtype, ids=range(VECTORS)[columns])
            rounded = evaluation.hessian.matmat(V)
        off = evaluation.double_hessian.matmat(V.double())
        sizes.append(norms(off))
        off = off.neg_().add_(rounded)
        errors.append(norms(off))
        along.append(dots(V, off))
    lengths, off_by = torch.cat(sizes), torch.cat(errors)
    eps = max(torch.finfo(evaluation.problem.dtype).eps, ULPS * inner_eps(evaluation.double))
    norm = CAUTION * max(float(off_by.max()), eps * float(lengths.max()))
    size, error = float(lengths.norm()), float(off_by.norm())
    found = Perturbation(norm, abs(float(torch.cat(along).mean())) + norm, NOISE, 2 * VECTORS)
    return found, error / size if size else 0.0


@remembered
def rounding_in_double(evaluation: Evaluation) -> Perturbation:
    """Return bounds on the rounding error of products in float64; 0 where it is no more than ulps of |H|."""
    return _narrow(evaluation) or _saturated(evaluation)


def _narrow(evaluation: Evaluation) -> Perturbation | None:
    """Return bounds on the error of a model with floats narrower than float64 inside; None where it has none.

    All products share the error of such a part, so that no difference of products shows it: it is taken to be four
    ulps of |H| in the narrowest dtype. Takes three products.
    """
    eps = inner_eps(evaluation.double)
    if not eps:
        return None
    norm = CAUTION * ULPS * eps * float(norms(evaluation.double_hessian.matmat(spot_vectors(evaluation))).max())
    more = _saturated(evaluation)
    return Perturbation(norm + more.norm, norm + more.trace, NOISE, VECTORS + more.num_matvecs)


def _saturated(evaluation: Evaluation) -> Perturbation:
    """Return `ulps_of_outputs` where no second class has a probability above 1e-6, as p - p^2 cancels there; else 0.

    A loss that is user code counts as saturated, as nothing is known of it.
    """
    problem = evaluation.problem
    sure = problem.loss.foreign or (problem.loss.second is not None and runner_up(problem) <= SATURATED)
    return ulps_of_outputs(evaluation) if sure else Perturbation()


def ulps_of_outputs(evaluation: Evaluation) -> Perturbation:
    """Return bounds on the error that an error of four ulps of a in M causes in c J'MJ: a c |J|_F^2 times four ulps.

    M is the second derivative of the loss in the outputs, a is the largest coefficient of p - p^2 in M (1 without class
    weights), and c is the factor of the reduction. |J|_F is bounded from eight products J'v with Gaussian v; with
    random signs v they could cancel where two samples are alike.
    """
    problem = evaluation.problem
    rows = problem.num_data * problem.num_outputs
    V = probes(rows, evaluation.seed, STREAM, range(SWEEPS), "gaussian", device=problem.device)
    largest = caution(NOISE, SWEEPS) * float(norms(evaluation.jacobian.rmatmat(V)).max())
    norm = ULPS * torch.finfo(torch.float64).eps * problem.loss.size * problem.scale * largest**2
    return Perturbation(norm, norm, NOISE, SWEEPS)


def noise_floor(evaluation: Evaluation) -> Estimate:
    """Return |HV - H64 V|_F / |H64 V|_F for three random vectors; not applicable where products are in float64."""
    if evaluation.problem.dtype == torch.float64:
        return Estimate.not_applicable("products are in float64")
    found, share = _spot_check(evaluation)
    dtype = str(evaluation.problem.dtype).removeprefix("torch.")
    method = f"{VECTORS} products, {dtype} against float64"
    return Estimate.exact(share, method, found.num_matvecs)


def runner_up(problem: Problem) -> float:
    """Return the largest probability, over all samples, of a sample's second most probable class; in 0 .. 1/2.

    Positions and labels that do not count in the loss are left out.

    Raises ValueError for a loss that knows no classes.
    """
    second = problem.loss.second
    if second is None:
        raise ValueError(f"{problem.loss.name} knows no classes")
    most = 0.0
    with torch.no_grad():
        for batch in problem.own_batches():
            most = max(most, float(second(problem.outputs(problem.theta, batch.x), batch.y).max()))
    return problem.shard.largest(most, problem.device)


def cancelled(estimate: Estimate, size: float) -> Estimate:
    """Return the estimate of a difference of numbers of this size, as `certified` where rounding is visible in it.

    Example:
        >>> str(cancelled(Estimate.exact(1e-7, "a - b"), 1.0).status)
        'certified'
    """
    slack = CANCELLING * size
    if estimate.status is not Status.EXACT or slack <= VISIBLE * abs(estimate.value):
        return estimate
    return replace(estimate, status=Status.CERTIFIED).widened(slack)


def allowing(estimate: Estimate, slack: float, off: Perturbation) -> Estimate:
    """Return an estimate that rests on products which `off` perturbs, widened by the `slack` that this causes.

    An exact value becomes `certified`, except with the chance that `off` exceeds its bounds.
    """
    if not slack or estimate.status in (Status.FAILED, Status.NOT_APPLICABLE):
        return estimate
    status = Status.CERTIFIED if estimate.status is Status.EXACT else estimate.status
    confidence = min(estimate.confidence, 1 - off.chance)
    return replace(estimate, status=status, confidence=confidence).widened(slack)
