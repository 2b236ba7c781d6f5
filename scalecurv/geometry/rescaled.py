"""The smallest trace of the Hessian over all rescalings of the hidden neurons of one network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SWEEPS = 1000
GAP = 1e-13  # of the value: the gap that rounding leaves
PIECE = 1 << 20  # entries that the dual bound looks at together
LOOK = 1e-9  # of the value: a sweep that gains less may be the last


@dataclass(frozen=True)
class Rescaled:
    """The smallest trace found, a proven lower bound, the factors (h,) that attain it, and the number of sweeps.

    A factor alpha multiplies the weights into a neuron and divides the weights out of it; it is 1 where the entries of
    both are zero. Where the entries on one side only are zero, the best factor is 0 or infinite: the factor is NaN and
    the value an infimum (`attained` False).
    """

    value: float
    lower: float
    factors: np.ndarray
    sweeps: int
    attained: bool


def smallest_trace(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> Rescaled:
    """Return the minimum of the trace over all rescalings of the hidden neurons:

    min over alpha > 0 of sum_l (sum t_l[s, q] (alpha_q / alpha_s)^2 + sum t_l[s] / alpha_s^2), alpha = 1 at both ends.

    `weights[l]` (n_(l+1), n_l) and `biases[l]` (n_(l+1),) are the diagonal of H, entry by entry; a layer without a bias
    has zeros. Rescaling turns the diagonal entry t of a weight from q to s into t (alpha_q / alpha_s)^2, which is
    convex in the logarithms of alpha: the problem is to balance a nonnegative matrix. Setting
    alpha_s^4 = (sum of entries into s) / (sum of entries out of s), one layer at a time, converges to the only minimum
    (Osborne 1960). With one hidden layer the first sweep reaches it, sum_j 2 sqrt(t_in t_out) + t_b. The dual gives a
    lower bound: sum y (1 - ln(y / t)) for any y >= 0 whose sums into and out of each neuron are equal; y is taken from
    the entries of the last sweep. All results are NaN where the entries do not sum to a finite number.
    """
    whole = [np.hstack([w, b[:, None]]) for w, b in zip(weights, biases, strict=True)]
    if not np.isfinite(_total(whole)):
        return Rescaled(np.nan, np.nan, np.full(sum(len(layer) for layer in whole[:-1]), np.nan), 0, False)
    idle = [(coming.sum(1) == 0) & (going[:, :-1].sum(0) == 0) for coming, going in pairwise(whole)]
    terms, live = whole, _prune(whole)
    flow, squares = list(terms), [np.ones(len(alive)) for alive in live]
    best, sweeps = _total(flow), 0
    while sweeps < SWEEPS:
        sweeps += 1
        for l in range(len(live)):
            coming, going = np.sqrt(flow[l].sum(1)), np.sqrt(flow[l + 1][:, :-1].sum(0))
            ratio = np.divide(coming, going, out=np.ones_like(coming), where=live[l])
            squares[l] *= ratio
            flow[l] = flow[l] / ratio[:, None]
            flow[l + 1] = flow[l + 1] * np.r_[ratio, 1.0]
        gained, best = best - _total(flow), _total(flow)
        if gained <= LOOK * best and (gained <= GAP / 10 * best or best - _dual(terms, flow) <= GAP * best):
            break
    value = _total(flow)
    factors = np.concatenate(
        [np.zeros(0), *(np.where(a | i, np.sqrt(s), np.nan) for a, i, s in zip(live, idle, squares, strict=True))]
    )
    return Rescaled(value, min(_dual(terms, flow), value), factors, sweeps, not np.isnan(factors).any())


def _prune(terms: list[np.ndarray]) -> list[np.ndarray]:
    """Set all entries that rescaling drives to zero to zero, and return the live neurons by layer.

    Where the entries into a neuron are zero, rescaling drives those out of it to zero, and vice versa. Other neurons
    may then have zeros on one side, so that the pruning is repeated.
    """
    live = [np.ones(len(layer), dtype=bool) for layer in terms[:-1]]
    changed = True
    while changed:
        changed = False
        for l, alive in enumerate(live):
            gone = alive & ~((terms[l].sum(1) > 0) & (terms[l + 1][:, :-1].sum(0) > 0))
            if gone.any():
                terms[l][gone], changed = 0.0, True
                terms[l + 1][:, :-1][:, gone] = 0.0
                alive &= ~gone
    return live


def _total(flow: list[np.ndarray]) -> float:
    return float(sum(layer.sum() for layer in flow))


def _dual(terms: list[np.ndarray], flow: list[np.ndarray]) -> float:
    """Return the dual bound of `flow`, whose sums into each neuron are first scaled to those out of it, backwards."""
    bound, scales = 0.0, np.ones(len(flow[-1]))
    for l in range(len(flow) - 1, -1, -1):
        going = np.zeros(flow[l].shape[1])
        for at in range(0, len(flow[l]), step := max(1, PIECE // flow[l].shape[1])):  # no second copy of a layer
            rows = slice(at, at + step)
            y = flow[l][rows] * scales[rows, None]
            going += y.sum(0)
            some = y > 0
            bound += float((y[some] * (1 - np.log(y[some] / terms[l][rows][some]))).sum())
        if l:
            coming = flow[l - 1].sum(1)
            scales = np.divide(going[:-1], coming, out=np.zeros_like(coming), where=coming > 0)
    return bound
