"""Sectional and Ricci curvature of the graph of the loss, from products of the Hessian with directions."""

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
    """Return beta det(U'HU) / det(U'GU), the sectional curvature of the plane of U = (u, v), G = I + g g'.

    G is the metric of the graph. `bent` is U'HU and `lengths` U'U, both (..., 2, 2) and symmetric; `steep` is U'g
    (..., 2), None for 0. The result has shape (...) and the unit loss squared over parameters to the fourth; it depends
    on the plane and not on the u and v that span it. The denominator is computed as
    det U'U + (g'u)^2 |v|^2 - 2 g'u g'v u'v + (g'v)^2 |u|^2, which is 1 + (g'u)^2 + (g'v)^2 for orthonormal u and v, so
    that nothing cancels on a steep slope. (Gauss' equation; do Carmo 1992, Riemannian Geometry, ch. 6)
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
    """Return Ric(u, u) / u'Gu, the sum of the sectional curvatures of P - 1 orthogonal planes through u.

    Ric(u, u) = beta ((T - beta g'Hg) u'Hu - |Hu|^2 + beta (g'Hu)^2), with `uhu` u'Hu, `squared` |Hu|^2, `ghu` g'Hu and
    `length` u'Gu = |u|^2 + (g'u)^2. The result is linear in `trace` T.
    (Pouplin, Roy, Singh, Arvanitidis 2023, arXiv 2307.04719)
    """
    return beta * ((trace - beta * ghg) * uhu - squared + beta * ghu**2) / length


NEAR_ZERO = 0.1  # of the largest |kappa|^2: the tolerance of a smaller product is rtol times this share


def sectional_extremes(principal: Sequence[Estimate], rtol: float, confidence: float) -> tuple[Estimate, Estimate]:
    """Return the largest and smallest sectional curvature from the outermost principal curvatures.

    `principal` holds kappa_1 >= kappa_2 >= kappa_(P-1) >= kappa_P (fewer for P < 4). The curvature of the plane of
    principal directions i and j is kappa_i kappa_j. All other planes lie between the extremes of these products, which
    are the eigenvalues of the operator u ^ v -> Au ^ Av (decomposable eigenvectors attain them). The largest and the
    smallest product of all pairs are among those of the four outermost curvatures. Each interval holds the products at
    every corner of the intervals of the curvatures.
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
