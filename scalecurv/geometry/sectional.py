"""Sectional curvature of the graph of the loss, from what the Hessian makes of two directions."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product

import numpy as np

from scalecurv.geometry.bounds import Interval
from scalecurv.geometry.ratios import interval_of, joint_status
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance


def sectional_curvature_of(
    bent: np.ndarray, lengths: np.ndarray, beta: float, steep: np.ndarray | None = None
) -> np.ndarray:
    """beta det(U'HU) / det(U'GU) of the plane of U = (u, v), G = I + g g' the metric of the graph.

    `bent` U'HU and `lengths` U'U, both (..., 2, 2) and symmetric, `steep` U'g (..., 2), None for 0; the answer (...),
    in the loss squared over parameters to the fourth, is that of the plane, whatever u and v span it. The denominator,
    det U'U + (g'u)^2 |v|^2 - 2 g'u g'v u'v + (g'v)^2 |u|^2, is taken so that no slope cancels in it: 1 + (g'u)^2 +
    (g'v)^2 for orthonormal u and v. (Gauss' equation; do Carmo 1992, Riemannian Geometry, ch. 6)
    """
    area = _determinants(lengths)
    if steep is not None:
        a, b = steep[..., 0], steep[..., 1]
        area = area + a * a * lengths[..., 1, 1] - 2 * a * b * lengths[..., 0, 1] + b * b * lengths[..., 0, 0]
    return beta * _determinants(bent) / area


def _determinants(pairs: np.ndarray) -> np.ndarray:
    return pairs[..., 0, 0] * pairs[..., 1, 1] - pairs[..., 0, 1] * pairs[..., 1, 0]


def ricci_curvature_of(
    trace: float, ghg: float, beta: float, uhu: float, squared: float, ghu: float, length: float
) -> float:
    """Ric(u, u) / u'Gu: the sum of the sectional curvatures of P - 1 orthogonal planes through u.

    Ric(u, u) = beta ((T - beta g'Hg) u'Hu - |Hu|^2 + beta (g'Hu)^2), with `uhu` u'Hu, `squared` |Hu|^2, `ghu` g'Hu and
    `length` u'Gu = |u|^2 + (g'u)^2. Linear in `trace` T. (Pouplin, Roy, Singh, Arvanitidis 2023, arXiv 2307.04719)
    """
    return beta * ((trace - beta * ghg) * uhu - squared + beta * ghu**2) / length


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
