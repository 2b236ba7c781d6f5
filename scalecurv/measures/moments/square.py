"""tr H^2 by the cheaper of two roads: deflated terms of H, or pairs of samples and the difference of H and G."""

from dataclasses import dataclass, replace

from scalecurv.linalg.inner import norms
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.moments.from_pairs import PROBES, Draws, square_from_pairs
from scalecurv.measures.moments.pairs import tile_of
from scalecurv.measures.moments.sampled import Needed, sampled_square
from scalecurv.measures.noise import VECTORS, pilots_fit, spot_products
from scalecurv.measures.route import PRODUCT, Strategy
from scalecurv.operators.sample_gradients import row_size
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate

MANY = 5000  # samples from which draws are tried without being asked for
SMALL = 0.3  # |H - G| / |H| below which common probes tell H from G; at init under cross entropy it is near 1
GRAMS = 4  # products whose multiplications the inner products of draws may take
DEAR = 2  # deflation must be expected to take this many times the products of pairs


@dataclass(frozen=True)
class Square:
    """tr H^2, and the squared norm of the rows of each layer by its name; None where deflated terms give them."""

    whole: Estimate
    layers: dict[str, Estimate] | None = None


def square_of(evaluation: Evaluation, strategy: Strategy, trace: float | None, needed: Needed) -> Estimate:
    """Return tr H^2 as `square_with_layers` does, without the layers."""
    return square_with_layers(evaluation, strategy, trace, needed).whole


def square_with_layers(evaluation: Evaluation, strategy: Strategy, trace: float | None, needed: Needed) -> Square:
    """Return tr H^2 once needed(estimate) is no more than its samples, else from the whole budget.

    `trace` is the exact tr H, None where it is not known exactly. Pairs of samples are taken where
    `strategy.from_samples` asks for it, or the data is large and deflation is expected to take more products; in both
    cases only if |H - G| < 0.3 |H| by three products each. The method says which road was taken.
    """
    problem = evaluation.problem
    draws, asked = draws_of(problem, strategy), strategy.sample_of(problem) is not None
    if draws is None or not (asked or _deflation_is_dear(evaluation, strategy)):
        found = sampled_square(evaluation, strategy, trace, needed)
        return Square(_of_all_samples(found, obstacle(problem, strategy)) if asked else found)
    share = residual_share(evaluation)
    if share < SMALL:
        by_pairs = square_from_pairs(evaluation, strategy, draws, needed)
        if by_pairs is not None:
            return Square(*by_pairs)
    found = sampled_square(evaluation, strategy, trace, needed).charged(VECTORS)
    return Square(_of_all_samples(found, f"|H - G| is {share:.2f} |H|") if asked else found)


def _of_all_samples(found: Estimate, reason: str) -> Estimate:
    return replace(found, method=f"{found.method}, of all samples as {reason}")


def draws_of(problem: Problem, strategy: Strategy) -> Draws | None:
    """Return how many samples may be drawn, None where pairs are not tried: a rule on sizes alone.

    The number is `from_samples` where it is given. Else there are 5,000 samples or more, of which at most a quarter is
    drawn, and inner products take no more multiplications than four products.
    """
    count = strategy.sample_of(problem)
    if (count is None and problem.num_data < MANY) or obstacle(problem, strategy):
        return None
    if count is not None:
        return Draws(count, True)
    most = int((GRAMS * PRODUCT * problem.num_data * problem.num_params / row_size(problem)) ** 0.5)
    return Draws(min(most, problem.num_data // 4), False)


def obstacle(problem: Problem, strategy: Strategy) -> str:
    """Return why samples cannot be drawn in pairs, "" where they can."""
    if strategy.route not in (None, "sampled"):
        return f"the route is {strategy.route}"
    if problem.loss.factor is None:
        return f"loss {problem.loss.name} has no known factor"
    if not strategy.trace_is_exact(problem):
        return "there are more outputs than max_matvecs / 2"
    if strategy.budget.probes < 2 * VECTORS + 2 * PROBES:
        return "max_matvecs leaves no common probes"
    if not pilots_fit(problem, problem.memory) or not tile_of(problem):
        return "memory holds no rows of samples"
    return ""


def _deflation_is_dear(evaluation: Evaluation, strategy: Strategy) -> bool:
    """Return True where the probes after the deflation are expected to take twice the products of pairs."""
    predicted, problem = deflation(evaluation, strategy).depth.predicted, evaluation.problem
    passes = -(-problem.num_outputs // 3)  # D backward passes for T_i
    return predicted is not None and predicted > DEAR * (GRAMS + passes + Draws.cost())


@remembered
def residual_share(evaluation: Evaluation) -> float:
    """Return |HV - GV|_F / |HV|_F for the three vectors V of the spot check, G V in float64; remembered."""
    V, HV = spot_products(evaluation)
    whole = float(norms(HV).norm())
    apart = evaluation.gauss_newton.matmat(V.double()).neg_().add_(HV)
    return float(norms(apart).norm()) / whole if whole else 0.0
