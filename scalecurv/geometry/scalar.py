"""Scalar curvature of the graph {(theta, L(theta))} in R^(P+1), from five numbers."""

from typing import TypeVar

import numpy as np

Number = TypeVar("Number", float, np.ndarray)


def beta_of(grad_norm: float) -> float:
    """beta = 1 / (1 + |g|^2), in (0, 1]: 1 at a critical point, small on a slope."""
    return 1 / (1 + grad_norm**2)


def scalar_curvature_of(
    trace: Number, trace_squared: Number, trace_h2: Number, beta: float, ghg: float, gh2g: float
) -> Number:
    """K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg).

    `trace` is T = tr H, `trace_squared` T^2 (given apart, so that an unbiased estimate of it can stand in),
    `trace_h2` F = tr H^2, `ghg` g'Hg and `gh2g` g'H^2 g, in the units of the loss over parameters squared and
    so on; scalars or arrays of one shape. K sums the sectional curvatures over ordered pairs of directions:
    twice the Gaussian curvature for P = 2. (Pouplin, Roy, Singh and Arvanitidis 2023, arXiv 2307.04719)
    """
    return beta * (trace_squared - trace_h2) + 2 * beta**2 * (gh2g - trace * ghg)
