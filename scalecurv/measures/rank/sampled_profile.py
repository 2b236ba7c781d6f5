"""The stable rank and the participation ratio of J over all samples, estimated from a draw of samples."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.krylov.extremes import DELTA, largest_eigenvalue_bound, rounding_of, started
from scalecurv.linalg.ranks import between
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.factors import ROWS, JacobianFactors
from scalecurv.measures.rank.outputs import Output
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import jackknife_estimate, mean_estimate

CLOSE = 0.25  # relative width of the interval of sigma_1^2 that ends the Lanczos run: thresholds move by an eighth
STEPS = 12  # of Lanczos, at most
FEWEST = 8  # samples from which a standard error is taken
STABLE, PARTICIPATION = "sum sigma^2 / sigma_1^2", "(sum sigma^2)^2 / sum sigma^4"


@remembered
def whole_largest(evaluation: Evaluation, output: Output) -> Estimate:
    """Return sigma_1^2 of J over all samples, by a few Lanczos steps on J'J in float64; remembered.

    The Ritz value is its lower end. The upper end is the bound of the Lanczos polynomial, which fails with a chance of
    DELTA.
    """
    J = evaluation.jacobian if output == "logits" else evaluation.prob_jacobian
    gram = J.T @ J if J.shape[1] <= J.shape[0] else J @ J.T
    process = started(gram, evaluation.seed, min(STEPS, gram.shape[0]))
    while True:
        process.advance(process.steps + 1)
        run = process.first(process.steps)
        theta = float(run.quadrature.nodes[-1])
        high = largest_eigenvalue_bound(run.alphas, run.betas, gram.shape[0], DELTA)
        if high - theta <= CLOSE * theta or process.finished:
            break
    slack = rounding_of(theta, gram.dtype, run.num_matvecs)
    low, high, products = max(theta - slack, 0.0), high + slack, gram.cost * run.num_matvecs
    return Estimate.enclosed(theta, low, high, "lanczos", Status.CERTIFIED, confidence=1 - DELTA, num_matvecs=products)


def sampled_ratios(
    factors: JacobianFactors, gram: Tensor, columns: bool, num_data: int, rank: int, largest: Estimate
) -> tuple[Estimate, Estimate]:
    """Return the stable rank and the participation ratio of J over `num_data` samples, from those of `factors`.

    With t_i = |J_i|_F^2 and q_ij = |J_i J_j'|_F^2, sum sigma^2 is N times the mean of t_i, and sum sigma^4 is N times
    the mean of q_ii and N (N - 1) times that of q_ij over pairs. The intervals are Student's, of the mean and of the
    jackknife over samples; a draw without replacement varies less. `largest` is sigma_1^2 of all samples, `rank` an
    upper bound on the rank, and `gram` is J J', or J'J where `columns`, of the drawn samples.
    """
    t, own, joint = _by_columns(factors, gram) if columns else _by_rows(gram, factors.rows[0].shape[1])
    m, products = len(t), largest.num_matvecs
    if m < FEWEST:
        return tuple(between(1.0, np.inf, rank, name, 1.0, products) for name in (STABLE, PARTICIPATION))  # type: ignore[return-value]
    trace = mean_estimate(t, STABLE)
    stable = between(
        num_data * trace.lower / largest.upper if largest.upper else 1.0,
        num_data * trace.upper / largest.lower if largest.lower else np.inf,
        rank,
        STABLE,
        trace.confidence + largest.confidence - 1,
        products,
    )
    pairs = joint - own  # of one sample with all others

    def ratio(count: int, traces: np.ndarray, owns: np.ndarray, others: np.ndarray) -> np.ndarray:
        fourth = num_data * owns / count + num_data * (num_data - 1) * others / (count * (count - 1))
        return (num_data * traces / count) ** 2 / fourth

    with np.errstate(invalid="ignore", divide="ignore"):  # J is zero on all drawn samples
        whole = float(ratio(m, t.sum(), own.sum(), pairs.sum()))
        without = ratio(m - 1, t.sum() - t, own.sum() - own, pairs.sum() - 2 * pairs)
    if not np.isfinite(whole) or not np.isfinite(without).all():
        return stable, between(1.0, np.inf, rank, PARTICIPATION, 1.0, products)
    found = jackknife_estimate(whole, without, PARTICIPATION)
    return stable, between(found.lower, found.upper, rank, PARTICIPATION, found.confidence, products)


def _by_rows(gram: Tensor, num_outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return t_i, q_ii and sum_j q_ij of each sample, (n,) each, from J J'."""
    num_data, joint = len(gram) // num_outputs, []
    own = gram.view(num_data, num_outputs, num_data, num_outputs).diagonal(dim1=0, dim2=2)  # (C, C, n)
    for start in range(0, len(gram), ROWS):  # without a copy of the whole matrix
        joint.append((gram[start : start + ROWS] ** 2).sum(1))
    sums = own.diagonal(dim1=0, dim2=1).sum(1), (own**2).sum((0, 1)), torch.cat(joint).view(num_data, -1).sum(1)
    t, squares, all_pairs = (total.cpu().numpy() for total in sums)
    return t, squares, all_pairs


def _by_columns(factors: JacobianFactors, gram: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return t_i, q_ii and sum_j q_ij = tr J_i (J'J) J_i' of each sample, (n,) each, from J'J."""
    num_outputs, parts = factors.rows[0].shape[1], []
    for _, block in factors.blocks():
        samples = block.view(-1, num_outputs, block.shape[1])
        own = torch.bmm(samples, samples.transpose(1, 2))
        joint = ((block @ gram) * block).sum(1).view(-1, num_outputs).sum(1)
        parts.append((own.diagonal(dim1=1, dim2=2).sum(1), (own**2).sum((1, 2)), joint))
    t, squares, all_pairs = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return t, squares, all_pairs
