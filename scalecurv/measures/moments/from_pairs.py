"""tr H^2 = |G|_F^2 + (|H|_F^2 - |G|_F^2): the first from weighted pairs of samples, the second from common probes."""

from dataclasses import dataclass

from scipy.special import stdtrit

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.draws import Weights, weights_of
from scalecurv.measures.moments.pairs import PairSums, difference_parts, looks_upto, pair_parts
from scalecurv.measures.moments.sampled import Needed
from scalecurv.measures.noise import VECTORS, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.operators.sample_gradients import layer_names
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import skewed_quantile
from scalecurv.statistics.pairs import Part, bounded_pair_interval, on_log_scale, sum_estimate
from scalecurv.statistics.stopping import FIRST_LOOK

PROBES = 8  # common probes at the first look
PILOTS = 128  # draws from which their spread tells how many are needed
HOPE = 1.5  # times the draws that are allowed: more than this are not waited for
OPEN = 4  # where no draw can be added, probes are added while theirs is more than a quarter of the variance
ROWS = 2048  # rows of G at most are taken instead of random combinations, for a proven interval
CHANCE = 0.025  # that a proven interval of |G|^2 fails, and that Student's of the difference does


@dataclass(frozen=True)
class Draws:
    """The number of samples that are drawn, at most or, if `fixed`, exactly."""

    most: int
    fixed: bool

    @staticmethod
    def cost() -> int:
        """Return the products of the first look: common probes with H and G, and three with G for the rule."""
        return 2 * PROBES + VECTORS

    @property
    def ends(self) -> tuple[int, ...]:
        """Return the numbers of draws at which to look."""
        return (self.most,) if self.fixed else tuple(looks_upto(self.most))

    def proven(self, num_outputs: int) -> bool:
        """Return True where draws are too few for Student's interval, and all rows of G that they need can be taken."""
        return self.most < FIRST_LOOK and self.most * num_outputs <= ROWS


def square_from_pairs(
    evaluation: Evaluation, strategy: Strategy, draws: Draws, needed: Needed
) -> tuple[Estimate, dict[str, Estimate]] | None:
    """Return tr H^2 once needed(estimate) is no more than its draws, and the squared norm of each layer's rows.

    Draws and common probes double, those first whose variance is larger. Fewer than 32 draws have a proven interval.
    None where the number of draws is free, and the spread of the first of them promises no end within `draws.most`.
    """
    limit = (strategy.square_products(evaluation.problem) - 2 * VECTORS) // 2
    ends, m, at = draws.ends, min(PROBES, limit), 0
    if not draws.fixed:
        promised = _promised(evaluation, draws, needed)
        if promised is None:
            return None
        at = ends.index(promised)
    while True:
        n = ends[at]
        pairs, apart = _pair_parts(evaluation, draws, n), difference_parts(evaluation, m)
        found = _whole(evaluation, draws, pairs[0], apart[0], n, m)
        if found.status is Status.FAILED or needed(found) <= n:
            break
        drawn, probed, more = pairs[0].stderr ** 2, apart[0].stderr ** 2, at + 1 < len(ends)
        if 2 * m <= limit and probed > (drawn if more else drawn / OPEN):
            m *= 2
        elif more:
            at += 1
        else:
            break
    noise, spent = rounding_in_double(evaluation), found.num_matvecs
    layers = {}
    for name, *parts in zip(layer_names(evaluation.double), pairs[1:], apart[1:], strict=True):
        part = sum_estimate(parts, n, found.method.replace(", proven interval", ""), spent)
        part = on_log_scale(part, parts[0].value)
        layers[name] = part.widened(noise.of_square(max(part.value, 0.0)))
    return found, layers


def _promised(evaluation: Evaluation, draws: Draws, needed: Needed) -> int | None:
    """Return the number of draws that is enough if H and G differ by nothing, None where it is above `draws.most`."""
    for n in draws.ends:
        wanted = needed(sum_estimate(_pair_parts(evaluation, draws, n)[:1], n, "pairs", 0))
        if wanted <= n:
            return n
        if n >= PILOTS and wanted > HOPE * draws.most:
            return None
    return None


@remembered
def _sums(evaluation: Evaluation, draws: Draws) -> PairSums:
    every = draws.proven(evaluation.problem.num_outputs)
    return PairSums(evaluation, weights_of(evaluation), draws.ends, every)


def _pair_parts(evaluation: Evaluation, draws: Draws, n: int) -> list[Part]:
    return pair_parts(evaluation, _sums(evaluation, draws), weights_of(evaluation), n)


def _whole(evaluation: Evaluation, draws: Draws, pairs: Part, apart: Part, n: int, m: int) -> Estimate:
    """Return tr H^2 from both parts, widened by what rounding of float64 may add."""
    noise, weights = rounding_in_double(evaluation), weights_of(evaluation)
    spent = 2 * m + 2 * VECTORS + noise.num_matvecs
    method = f"{n:,} weighted samples in pairs, {m} probes of H and G"
    found = sum_estimate([pairs, apart], n, method, spent)
    if found.status is Status.FAILED:
        return found
    if draws.proven(evaluation.problem.num_outputs):
        found = _with_proven_part(evaluation, found, weights, pairs, apart, n, m)
    else:
        found = on_log_scale(found, pairs.value - _decay(evaluation, weights))
    return found.widened(noise.of_square(max(found.value, 0.0)))


def _decay(evaluation: Evaluation, weights: Weights) -> float:
    """Return what weight decay w adds to |G|_F^2, which is 2 w tr G + w^2 P."""
    w, P = evaluation.problem.weight_decay, evaluation.problem.num_params
    return 2 * w * weights.total + w * w * P


def _with_proven_part(
    evaluation: Evaluation, found: Estimate, weights: Weights, pairs: Part, apart: Part, n: int, m: int
) -> Estimate:
    """Return the estimate with an interval that is proven for |G|^2, and Student's for the difference."""
    decay = _decay(evaluation, weights)
    low, high = bounded_pair_interval(pairs.value - decay, n, weights.bound, CHANCE)
    t = float(stdtrit(apart.freedom, 1 - CHANCE / 2))
    half = skewed_quantile(t, apart.skewness * m**0.5, m) * apart.stderr
    lower, upper = decay + low + apart.value - half, decay + high + apart.value + half
    method = f"{found.method}, proven interval"
    return Estimate(found.value, found.stderr, lower, upper, 0.95, n, found.num_matvecs, method, found.status)
