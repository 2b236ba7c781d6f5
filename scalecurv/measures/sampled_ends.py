"""The ends of the spectrum of the whole loss, from a sample of the data and a few products of all.

The eigenvectors of the sample start a small space of the whole H, whose Ritz values bound the ends from inside. The
ends of the sample's own spectrum bound them from outside, up to an error of sampling.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit

from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.krylov.block_space import BlockSpace, grown
from scalecurv.linalg.krylov.extremes import NEAR_ZERO, End, Ends, rounding_of
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.krylov.warm import spanned
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import Krylov, krylov_run, one_end
from scalecurv.measures.noise import rounding
from scalecurv.measures.route import Strategy
from scalecurv.measures.sample_forms import Forms, drawn_samples, forms_of, unit_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import FIRST_LOOK, Tolerance

CONFIDENCE = 0.95
ONE_SIDED = 0.975  # of the outer end: the inner one is no matter of chance, and half of the room is left to few samples
GROWN = 2  # products of all at each end, after those with the eigenvectors of the sample
PRODUCTS = 2 + 2 * GROWN
SHARPER = 4  # the run on the sample is this much sharper than the tolerance
NULL = 1e-3  # of |H_n|: an end nearer to zero may be the null space of H_n, whose many copies its run sees as one
FIRST, RITZ, SECOND = np.eye(3)


@dataclass(frozen=True, eq=False)
class Side:
    """One end of a spectrum: the largest eigenvalue lambda of A, which is H or -H, seen from all data and a sample.

    value, residual: the largest Ritz value theta of A in a space of all data, and |Av - theta v|, v its vector.
    apart: |(I - vv')(A - A_n)v|, where A_n is the matrix of the sample.
    first, second: upper bounds on the two largest eigenvalues of A_n; infinite where the second is not known.
    spread: the length of an interval that holds the spectra of A and A_n.
    forms: those of A_i in u, v and w, where u and w are the vectors of A_n to its two largest eigenvalues.
    quantile: that of Student's distribution for the standard errors.
    """

    value: float
    residual: float
    apart: float
    first: float
    second: float
    spread: float
    forms: Forms
    quantile: float

    def beyond(self) -> tuple[float, float]:
        """Return a bound on lambda - theta, and the standard error in it.

        With x the eigenvector of lambda and lambda_n >= x'A_n x the largest eigenvalue of A_n,

            lambda <= lambda_n + x'(A - A_n)x = theta + (lambda_n - v'A_n v) + e,  e = x'(A - A_n)x - v'(A - A_n)v.

        The bound is the smaller of two. By chance alone: x'(A - A_n)x has mean 0 over samples and the standard error of
        u'A_n u, and e that of the difference u'A_n u - v'A_n v; the larger result counts, as v has seen the sample. By
        the residual: s = |Av - theta v| / (theta - lambda_2) bounds the sine of the angle between v and x (Davis and
        Kahan 1970), and |e| <= 2 s |(I - vv')(A - A_n)v| + s^2 (spread + |v'(A - A_n)v|) then.
        """
        if not float(self.forms.weights.sum()) > 0:
            return math.inf, math.inf  # none of the samples counts in the loss
        inside, own, change = self.forms.mean(RITZ), self.forms.stderr(FIRST), self.forms.stderr(FIRST - RITZ)
        excess = max(self.first - inside, 0.0)
        by_chance = max(self.first - self.value + self.quantile * own, excess + self.quantile * change)
        gap = self.value - self.second - self.quantile * self.forms.stderr(SECOND)
        if gap <= 0:
            return by_chance, own
        s = self.residual / gap
        by_residual = excess + 2 * s * self.apart + s * s * (self.spread + abs(self.value - inside))
        return min(by_chance, by_residual), change if by_residual < by_chance else own


def spectrum_ends(evaluation: Evaluation, strategy: Strategy) -> Ends:
    """Return both ends of the spectrum of H: from a sample of the data where the strategy says so, else certified."""
    count = strategy.sample_of(evaluation.problem)
    return krylov_run(evaluation, strategy).ends if count is None else sampled_ends(evaluation, strategy, count)


def end_alone(evaluation: Evaluation, strategy: Strategy, end: End) -> Estimate:
    """Return one end as `spectrum_ends` does; where it is certified, wait for no other."""
    count = strategy.sample_of(evaluation.problem)
    if count is None:
        return one_end(evaluation, strategy, end)
    return sampled_ends(evaluation, strategy, count).at(end)


@remembered
def sampled_ends(evaluation: Evaluation, strategy: Strategy, count: int) -> Ends:
    """Return both ends of the spectrum of H from `count` samples and six products with H; remembered.

    The value is the outermost Ritz value of H in a space that starts at the eigenvectors of the sample's H: it bounds
    its end from inside, whatever the sample. The outer end of the interval is that of `Side`, with 97.5 % for many
    samples, so that the confidence is 95 % at least.
    """
    problem = evaluation.problem
    some = problem.of_some(drawn_samples(problem, count, evaluation.seed))
    small = Evaluation(some, evaluation.seed)
    run = krylov_run(small, Strategy(strategy.rtol / SHARPER, strategy.max_matvecs, strategy.memory, "generic"))
    space = _space_of_all(evaluation, run.space)
    norm = float(abs(space.values).max())
    slack = max(rounding_of(norm, problem.dtype, space.num_matvecs), unit_of(some, problem) * rounding(small).norm)
    method = f"lanczos on {count:,} of {problem.num_data:,} samples, {space.num_matvecs} products of all"

    def found(side: Side, sign: int) -> Estimate:
        reach, error = side.beyond()
        value = sign * side.value
        low, high = sorted((value - sign * slack, value + sign * (reach + 2 * slack)))
        raw = Estimate(value, error, low, high, CONFIDENCE, count, space.num_matvecs, method, Status.BUDGET)
        return Tolerance(strategy.rtol, NEAR_ZERO * norm).settle(raw) if count >= FIRST_LOOK else raw

    largest, smallest = _sides(problem, some, run, space)
    return Ends(found(largest, 1), found(smallest, -1))


def _space_of_all(evaluation: Evaluation, sample: RitzSpace) -> BlockSpace:
    """Return the space of the whole H that starts at the outermost Ritz vectors of the sample, grown at both ends."""
    vectors = sample.narrowed(np.array([len(sample.values) - 1, 0])).basis
    space = spanned(evaluation.hessian, vectors, 2)
    assert space is not None  # no Ritz vector is 0
    for end in (-1, 0) * GROWN:
        if space.coupling.shape[1]:  # else the space is invariant
            space = grown(evaluation.hessian, space, space.pairs[1][:, [end]])
    return space


def _sides(problem: Problem, some: Problem, own: Krylov, space: BlockSpace) -> tuple[Side, Side]:
    """Return the largest and the smallest end from the run on the sample `some` and the space of all data."""
    unit, decay, k = unit_of(some, problem), problem.weight_decay, len(own.space.values)
    order = np.array([k - 1, max(k - 2, 0), 0, min(1, k - 1)])  # the outermost Ritz value of each end, and the next
    inner, ends = own.space.narrowed(order), np.array([len(space.values) - 1, 0])
    ritz, pulls = space.vectors(ends), space.coupling.T @ space.pairs[1][:, ends]
    u, v = inner.basis.T, ritz.T
    forms = forms_of(some, torch.stack([u[0], v[0], u[1], u[2], v[1], u[3]], dim=1), problem)
    seen = unit * own.ends.largest.upper + decay, unit * own.ends.smallest.lower + decay
    spread = max(float(space.values[-1]), seen[0]) - min(float(space.values[0]), seen[1])

    def side(end: int, sign: float) -> Side:
        mine = forms.of(slice(3 * end, 3 * end + 3), sign)
        vector, value = ritz[:, [end]], float(space.values[ends[end]])
        pull = torch.from_numpy(pulls[:, [end]]).to(vector.device, vector.dtype)
        off = sign * (value * vector + space.residual @ pull).double() - mine.products[:, [1]]
        next_to = own.space.values[order[2 * end + 1]], own.space.residuals[order[2 * end + 1]]
        second = sign * (unit * next_to[0] + decay) + unit * next_to[1]
        alone = k > 1 and sign * own.space.values[order[2 * end]] > NULL * own.ends.norm
        return Side(
            value=sign * value,
            residual=float(space.residuals[ends[end]]),
            apart=float(norms(project_out(off, vector.double())[0])[0]),
            first=sign * seen[end],
            second=float(second) if alone else math.inf,
            spread=spread,
            forms=mine,
            quantile=float(stdtrit(len(forms.weights) - 1, ONE_SIDED)),
        )

    return side(0, 1.0), side(1, -1.0)
