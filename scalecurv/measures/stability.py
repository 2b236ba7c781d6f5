"""Lower bounds on 2 / eta*, where eta* is the largest step size at which SGD is stable in mean square."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError
from scalecurv.geometry.mean_square import threshold_in, without_replacement
from scalecurv.linalg.inner import gram
from scalecurv.linalg.probes import generator, probes
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.moments.exact import probed_estimate
from scalecurv.measures.noise import rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.operators.by_sample import sample_forms, sample_squares
from scalecurv.problem.remembered import remembered
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import mean_estimate

DRAW, STREAM = "sgd samples", "sgd sample probes"
VECTORS = 6  # top Ritz vectors: X has 21 free entries
NEGATIVE = 0.05  # of the largest eigenvalue: a matrix whose smallest lies further below 0 is far from a minimum's
PIECE = 4  # a batch of the third derivative is a quarter of one of the second
SAMPLES = 256  # at most, whose |H_i|^2 is sampled
PROBES = (2, 64)  # of a sample: at least, and at most where the samples are few
TERMS = 256  # of samples times probes, where the samples are few
AGREE = 1e-6  # relative difference of U'HU by products and by samples: rounding leaves less, a mistake more
SLACK = 1e-12  # relative rounding of a bound that is exact


@dataclass(frozen=True)
class SampleCurvature:
    """The curvature of single samples H_i (of N c loss_i, so that their mean is H).

    mean: E S_i (k, k) and pairs: E[S_i (x) S_i] (k k, k k), for S_i = U'H_i U with the top Ritz vectors U.
    num_matvecs: the products that the Ritz vectors took.
    """

    mean: np.ndarray
    pairs: np.ndarray
    num_matvecs: int


def threshold(evaluation: Evaluation, strategy: Strategy, batch_size: int) -> Estimate:
    """Return a lower bound on 2 / eta* for mini-batches of this size, drawn without replacement.

    It is the larger of two. Over V = UXU' with the top Ritz vectors U of H and any symmetric X it is exact, whatever
    the quality of the vectors. For V = I it is [(1 - q) F + q E|H_i|^2] / T, from intervals of its parts.
    """
    q = without_replacement(batch_size, evaluation.problem.num_data)
    curvature = sample_curvature(evaluation, strategy)
    if curvature is None:
        return Estimate.not_applicable("H has no positive Ritz value: no step size is too large")
    off = rounding_in_double(evaluation)
    value = threshold_in(curvature.mean, curvature.pairs, q)
    largest = float(np.linalg.eigvalsh(curvature.mean)[-1])
    below = value - SLACK * value - 4 * off.norm * max(value / largest, 1.0)
    products = curvature.num_matvecs + off.num_matvecs
    method = f"all samples along {len(curvature.mean)} Ritz vector(s)"
    found = Estimate.enclosed(
        value, below, math.inf, method, Status.LOWER_BOUND, confidence=1 - off.chance, num_matvecs=products
    )
    if not math.isfinite(value):
        return Estimate.failed(method, num_matvecs=products)
    other = _of_identity(evaluation, strategy, q)
    return other if other is not None and other.lower > found.lower else found


def _of_identity(evaluation: Evaluation, strategy: Strategy, q: float) -> Estimate | None:
    """Return the bound of V = I, None where H is indefinite or nothing is known; its value is its lower end."""
    ends = krylov_run(evaluation, strategy).ends
    if not ends.smallest.lower >= -NEGATIVE * ends.largest.value:
        return None
    parts, squares = scalar_curvature(evaluation, strategy), sample_norms(evaluation)
    T, F = parts.trace, parts.trace_h2
    if not (T.lower > 0 and math.isfinite(T.upper) and math.isfinite(squares.lower) and math.isfinite(F.lower)):
        return None
    if F.lower > ends.largest.upper * T.upper:  # which no positive semidefinite matrix allows
        return None
    w, P = evaluation.problem.weight_decay, evaluation.problem.num_params
    each = max(squares.lower, 0.0) + 2 * w * T.lower - w**2 * P  # of H_i + wI
    below = ((1 - q) * max(F.lower, 0.0) + q * each) / T.upper
    used = (F, squares, T) if 0 < q < 1 else (squares, T) if q else (F, T)
    confidence = max(0.0, 1 - sum(1 - part.confidence for part in used))
    products = sum(part.num_matvecs for part in used)
    return Estimate.enclosed(
        below, below, math.inf, f"tr H^2 and {squares.method}", Status.LOWER_BOUND,
        confidence=confidence, num_matvecs=products,
    )  # fmt: skip


@remembered
def sample_curvature(evaluation: Evaluation, strategy: Strategy) -> SampleCurvature | None:
    """Return what is known of the curvature of single samples; None where H has no positive Ritz value; remembered.

    Raises CheckpointError where torch cannot differentiate the model three times, or does it wrongly.
    """
    problem, run = evaluation.double, krylov_run(evaluation, strategy)
    chosen = np.flatnonzero(run.space.values > 0)[-VECTORS:]
    if not len(chosen):
        return None
    U = torch.linalg.qr(run.space.narrowed(chosen).basis.double())[0]
    k, N, w = U.shape[1], problem.num_data, problem.weight_decay

    def contribution(batch: Batch) -> Tensor:
        eye = torch.eye(k, dtype=torch.float64, device=problem.device)
        total = torch.zeros(k * k + k**4, dtype=torch.float64, device=problem.device)
        for piece in batch.pieces(max(1, problem.batch_size // PIECE)):
            S = N * sample_forms(problem, piece, U).double() + w * eye
            pairs = torch.einsum("iab,icd->acbd", S, S)  # of a Kronecker product: [a k + c, b k + d]
            total += torch.cat([S.sum(0).flatten(), pairs.flatten()])
        return total / N

    found = sum_over_data(problem, contribution).cpu().numpy()
    mean, pairs = found[: k * k].reshape(k, k), found[k * k :].reshape(k * k, k * k)
    whole, off = gram(U, evaluation.double_hessian.matmat(U)).cpu().numpy(), rounding_in_double(evaluation)
    if not np.linalg.norm(whole - mean) <= AGREE * np.linalg.norm(whole) + math.sqrt(k) * off.norm:
        raise CheckpointError("the curvature of single samples does not add up to H: a third derivative is wrong")
    if not np.linalg.eigvalsh(mean)[-1] > 0:
        return None
    return SampleCurvature(mean, pairs, run.ends.largest.num_matvecs + k)


@remembered
def sample_norms(evaluation: Evaluation) -> Estimate:
    """Return E|H_i|_F^2, weight decay left out, from Gaussian probes of all samples, or of 256 drawn; remembered."""
    problem, N = evaluation.double, evaluation.problem.num_data
    n = min(N, SAMPLES)
    rows = np.sort(generator(evaluation.seed, DRAW, 0).choice(N, n, replace=False))
    q = min(max(-(-TERMS // n), PROBES[0]), PROBES[1])

    def blocks() -> Iterator[Tensor]:
        for row in rows:
            ids = range(int(row) * PROBES[1], int(row) * PROBES[1] + q)
            yield probes(problem.num_params, evaluation.seed, STREAM, ids, "gaussian", device=problem.device)

    batch = problem.rows.take(torch.from_numpy(rows).to(problem.device))
    terms = N**2 * sample_squares(problem, batch, blocks()).cpu().numpy().T  # (q, n)
    products = -(-n * q // N)
    spread = "all" if n == N else str(n)
    found = probed_estimate(terms / N) if n == N else mean_estimate(terms.mean(0), "")
    method = f"|H_i|^2 of {spread} samples by {q} probes each"
    return replace(found, num_samples=n * q, num_matvecs=products, method=method)
