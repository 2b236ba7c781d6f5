"""The depth of the deflated Krylov space: the run goes on as long as its steps save more probes than they take."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.inner import dots
from scalecurv.linalg.krylov.extremes import EVERY, first_look
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import DOMINANT, Krylov, deflated_space, lanczos_process, run_ends, vectors_of
from scalecurv.measures.noise import VECTORS, pilots_fit, spot_products
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.stopping import FIRST_LOOK

SHARE = 0.1  # of |theta|: a Ritz value with a larger residual counts as not found
NORMAL = 1.96**2  # half-widths of 95 %, in standard errors, squared
PROVEN = 19.3  # 4 ln(2 / delta), from Chernoff's bound at the confidence of one of three early looks
EARLY, CHECK = (4, 16), 8  # probes of the first and the last proven look, and products of the bound that it rests on
UNSEEN = 10.0  # spread of the pilots, over that of the Ritz values, from which an eigenvalue is missing among these
LEAST = 16  # steps allowed, with fewer of which there is nothing to choose
QUARTER = 4  # of R^P: a larger space is close to all of H, which is cheaper written out
PATIENCE = (5, 20)  # steps without gain after which the run ends, at least and at most
GAIN = 8  # predicted probes for which one more step without gain is tried


@dataclass(frozen=True)
class Depth:
    """The deflated space, the number of pilot products beside the spot check's, and the size of what is outside.

    `outside` is a guess of |RHR|, R = I - QQ', `predicted` one of the products that are left to take, and `with_trace`
    that of T and F together; they are None where the depth was not chosen by them.
    """

    krylov: Krylov
    pilots: int = 0
    outside: float | None = None
    predicted: float | None = None
    with_trace: float | None = None


@dataclass(frozen=True)
class Prediction:
    """The products that an estimate to the tolerance is expected to take after a run, and a guess of |RHR|."""

    products: float
    outside: float


class Pilots:
    """Products of H with three random vectors, from which |RHRv|^2 follows for each space without another product.

    With HQ = QT + r c' it is |RHv|^2 - 2 (r'Hv)(c'Q'v) + (c'Q'v)^2. The vectors V (P, 3) are independent of the start
    of the run and of all probes, so that a depth chosen by them biases no estimate.
    """

    def __init__(self, V: Tensor, HV: Tensor):
        self._both = torch.cat([V, HV], dim=1)
        self._whole = dots(HV, HV).cpu().numpy()
        self._inside = np.zeros((0, 2 * V.shape[1]))

    def outside(self, run: Lanczos) -> np.ndarray:
        """Return |RHRv|^2 for each v, (3,), where the space is that of the run."""
        fresh = run.basis[:, len(self._inside) :]  # longer runs have the same first vectors
        if fresh.shape[1] > 0:
            self._inside = np.concatenate([self._inside, (fresh.T @ self._both).double().cpu().numpy()])
        (along, images), k = np.hsplit(self._inside, 2), len(run.alphas)
        across = (run.direction @ self._both).double().cpu().numpy()[along.shape[1] :]
        coupled = run.residual_norm * along[k - 1]
        return np.maximum(self._whole - (images[:k] ** 2).sum(0) - 2 * across * coupled + coupled**2, 0.0)


def deflated_depth(evaluation: Evaluation, strategy: Strategy) -> Depth:
    """Return the space after 5, 10, ... steps, from where one step more is not expected to save a probe; remembered.

    The depth depends on the problem, the seed, the tolerance and the number of steps allowed. Where these are fewer
    than 16, or the memory holds no such run or no pilots, the space is that of `deflated_space`.
    """
    problem, steps, capacity = evaluation.problem, strategy.budget.lanczos, vectors_of(evaluation, strategy)
    if capacity < steps or steps < LEAST or not pilots_fit(problem, strategy.memory):
        return Depth(deflated_space(evaluation, strategy))
    return _depth(evaluation, capacity, strategy.rtol, strategy.trace_is_known(problem))


@remembered
def _depth(evaluation: Evaluation, capacity: int, rtol: float, trace_is_known: bool) -> Depth:
    pilots, seen = Pilots(*spot_products(evaluation)), dict[int, Prediction]()

    def enough(run: Lanczos) -> bool:
        k = len(run.alphas)
        seen[k] = predicted(run, pilots.outside(run), rtol, trace_is_known)
        best = min(seen, key=lambda steps: steps + seen[steps].products)
        patience = min(max(PATIENCE[0], seen[k].products / GAIN), PATIENCE[1])
        return seen[k].products <= CHECK + EARLY[0] or k - best >= patience

    problem = evaluation.problem
    most = min(capacity, max(EVERY, problem.num_params // QUARTER))
    run = first_look(lanczos_process(evaluation, capacity), enough, most, EVERY)
    krylov = Krylov(run_ends(evaluation, run, DOMINANT), RitzSpace.of(run), run)
    shared = problem.dtype != torch.float64 and pilots_fit(problem, problem.memory)  # with the spot check of float32
    both = predicted(run, pilots.outside(run), rtol, False).products
    last = seen[max(seen)] if seen else None
    outside, products = (last.outside, last.products) if last else (None, None)
    return Depth(krylov, 0 if shared else VECTORS, outside, products, both)


def predicted(run: Lanczos, outside: np.ndarray, rtol: float, trace_is_known: bool) -> Prediction:
    """Return the products that F = tr H^2, and T = tr H if it is not known, are expected to take to `rtol`.

    `outside` holds |RHRv|^2 of some pilots v: their mean is the part of F outside the space, half of their variance
    that of tr H^4. Runs that miss an eigenvalue show none of it in their Ritz values, and pilots do. Where the spread
    is that of many small eigenvalues, the quadrature of the run knows it better than three pilots.
    """
    rule, n = run.quadrature, run.basis.shape[0]
    missing = rule.residuals > SHARE * np.abs(rule.nodes)
    left, share = rule.nodes[missing], rule.weights[missing]
    known = float((run.projected**2).sum()) + 2 * run.residual_norm**2
    rest = float(outside.mean())
    asked = (rtol * (known + rest)) ** 2
    fourth, spread = n * float(share @ left**4), float(outside.var(ddof=1)) / 2
    largest = float(np.abs(left).max(initial=0.0))
    if spread > UNSEEN * fourth:
        largest = max(largest, spread**0.25)
    if not rest:
        return Prediction(float(EARLY[0]), largest)
    sampled = 2 * NORMAL * max(fourth, spread) / asked if asked else np.inf
    proven = PROVEN * largest**2 * rest / asked if asked else np.inf
    products = max(FIRST_LOOK, sampled)
    if proven <= EARLY[1]:
        products = min(products, CHECK + max(EARLY[0], proven))
    if not trace_is_known:
        size = n * float(rule.weights @ rule.nodes), SHARE * n * float(rule.weights @ np.abs(rule.nodes))
        trace = (rtol * max(abs(size[0]), size[1])) ** 2
        products = max(products, FIRST_LOOK, 2 * NORMAL * rest / trace if trace else np.inf)
    return Prediction(products, largest)
