"""The extremes of sectional curvature over all planes, from the outermost principal curvatures."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product

from scalecurv.estimate import Estimate, Status
from scalecurv.geometry.bounds import Interval
from scalecurv.geometry.ratios import interval_of, joint_status
from scalecurv.linalg.sequential import Tolerance

NEAR_ZERO = 0.1  # of the largest |kappa|^2: below this share a product is asked for to rtol of the share


def sectional_extremes(principal: Sequence[Estimate], rtol: float, confidence: float) -> tuple[Estimate, Estimate]:
    """Largest and smallest sectional curvature from kappa_1 >= kappa_2 >= kappa_(P-1) >= kappa_P (fewer for P < 4).

    In the plane of principal directions i and j it is kappa_i kappa_j; all others lie between the extremes of these
    products, as the operator u ^ v -> Au ^ Av has them for eigenvalues (decomposable eigenvectors attain them). Of all
    pairs the largest and the smallest product are among the four outermost. Each interval holds the product at every
    corner of its parts'.
    """
    pairs = list(combinations(principal, 2))
    values = [a.value * b.value for a, b in pairs]
    bounds = [_product(interval_of(a), interval_of(b)) for a, b in pairs]
    cost = max(part.num_matvecs for part in principal)
    norm = max(abs(part.value) for part in principal)
    tolerance = Tolerance(rtol, NEAR_ZERO * norm**2)

    def extreme(choose: Callable[[Iterable[float]], float], method: str) -> Estimate:
        if joint_status(*principal) is Status.EXACT:
            return Estimate.exact(choose(values), method, cost)
        lower, upper = (choose(ends) for ends in zip(*bounds, strict=True))
        found = Estimate.enclosed(
            choose(values), lower, upper, method, Status.BUDGET, confidence=confidence, num_matvecs=cost
        )
        return tolerance.settle(found, Status.CERTIFIED)

    return (
        extreme(max, "largest product of two principal curvatures"),
        extreme(min, "smallest product of two principal curvatures"),
    )


def _product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x, y in product(a, b)]
    return min(corners), max(corners)
