"""The curvature that mini-batches have along their own gradients."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.inner import dots
from scalecurv.linalg.probes import generator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.mlp.layers import residuals
from scalecurv.operators.by_sample import slope_and_product
from scalecurv.operators.sample_gradients import sample_rows
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.intervals import jackknife_estimate
from scalecurv.statistics.stopping import Tolerance, estimate_until

STREAM = "sgd batches"
PIECE = 32  # samples whose gradients are squared together
NONE = Estimate.not_applicable("the gradients of the mini-batches are 0")


def batch_sharpness(evaluation: Evaluation, batch_size: int, rtol: float, limit: int) -> Estimate:
    """Return E g_b'H_b g_b / E |g_b|^2 over mini-batches b of this size, drawn without replacement by the seed.

    It is exact for all samples together, and for single samples where there are at most `limit`. Else it is a ratio of
    means over at most `limit` mini-batches, with a jackknife over them; one product with a mini-batch each. Those with
    a sample of large gradient are drawn more often, and weigh less. Not applicable where the gradients are 0. (Andreyev
    and Beneventano 2024, arXiv 2412.20553)
    """
    problem, N = evaluation.double, evaluation.problem.num_data
    if batch_size >= N:
        facts = gradient_facts(evaluation, double=True)
        return _ratio(facts.ghg, facts.grad_norm**2, "g'Hg / |g|^2 of all samples", 1)
    if batch_size == 1 and limit >= N:
        bend, square = np.array([_terms(problem, np.array([i])) for i in range(N)]).sum(0).tolist()
        return _ratio(bend, square, "sum over all samples, one product each", N)
    p, rows = draw_probabilities(evaluation), list[tuple[float, float]]()

    def terms(count: int) -> np.ndarray:
        for index in range(len(rows), count):
            drawn, weight = drawn_batch(evaluation.seed, index, batch_size, p)
            bend, square = _terms(problem, drawn)
            rows.append((weight * bend, weight * square))
        return np.array(rows)

    def ratio(taken: np.ndarray) -> Estimate:
        (bends, squares), m = taken.T, len(taken)
        if not squares.sum() - squares.max() > 0:
            return NONE
        without = (bends.sum() - bends) / (squares.sum() - squares)
        method = f"{m} mini-batches of {batch_size}, one product each"
        return jackknife_estimate(float(bends.sum() / squares.sum()), without, method)

    return estimate_until(terms, {"ratio": ratio}, {"ratio": Tolerance(rtol)}, limit)["ratio"]


@remembered
def draw_probabilities(evaluation: Evaluation) -> np.ndarray:
    """Return the chances by which the first sample of a mini-batch is drawn, (N,); remembered.

    They are the mean of 1 / N and of the shares of |g_i|^2 and of |g_i|^4 / |r_i|^2 in their sums, where g_i = J_i'r_i
    is the gradient of a sample: a few samples may carry most of |g_b|^2 and of g_b'H_b g_b, which uniform draws miss.
    """
    problem, squares, bends = evaluation.double, list[Tensor](), list[Tensor]()
    for batch in problem.batches():
        for piece in batch.pieces(PIECE):
            with torch.no_grad():
                f = problem.outputs(problem.theta, piece.x)
            r = residuals(problem, piece, f)
            rows = sample_rows(problem, piece, r[:, None])
            square = rows.grams(rows).sum(0).diagonal().double()
            squares.append(square)
            bends.append((square.square() / r.double().square().sum(1)).nan_to_num(0.0, 0.0, 0.0))
    shares = [np.ones(problem.num_data), *(torch.cat(part).cpu().numpy() for part in (squares, bends))]
    return np.asarray(np.mean([part / part.sum() for part in shares if 0 < part.sum() < np.inf], axis=0))


def drawn_batch(seed: int, index: int, batch_size: int, p: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the samples of a mini-batch, ascending, and the weight 1 / (mean of N p_i over them).

    The first is drawn by `p`, and the others are drawn uniformly without replacement, so that the weight is the chance
    of this mini-batch among uniform ones over its own. (Veach and Guibas 1995)
    """
    rng, N = generator(seed, STREAM, index), len(p)
    first = rng.choice(N, p=p)
    others = rng.choice(N - 1, batch_size - 1, replace=False)
    rows = np.sort(np.r_[first, others + (others >= first)])
    return rows, float(1 / (N * p[rows].mean()))


def _ratio(bend: float, square: float, method: str, products: int) -> Estimate:
    return Estimate.exact(bend / square, method, products) if square > 0 else NONE


def _terms(problem: Problem, rows: np.ndarray) -> tuple[float, float]:
    """Return g_b'H_b g_b and |g_b|^2 of the mini-batch of these samples, whose loss is the mean of N c loss_i."""
    batch = problem.rows.take(torch.from_numpy(rows).to(problem.device))
    pieces, w = list(batch.pieces(problem.batch_size)), problem.weight_decay
    factor = problem.num_data / len(rows)
    made = [slope_and_product(problem, piece) for piece in pieces] if len(pieces) == 1 else None  # else one at a time
    slopes = [part[0] for part in made] if made else [slope_and_product(problem, piece)[0] for piece in pieces]
    g = (factor * _sum(slopes) + w * problem.theta)[:, None]
    bents = [part[1](g) for part in made] if made else [slope_and_product(problem, piece)[1](g) for piece in pieces]
    bent = factor * _sum(bents) + w * g
    found = float(dots(g, bent)[0]), float(dots(g, g)[0])
    if not np.isfinite(found).all():
        raise FloatingPointError("the curvature of a mini-batch along its gradient overflows; look at the weights")
    return found


def _sum(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
