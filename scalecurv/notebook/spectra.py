"""The spectral density of the Hessian, as nodes and weights, and smoothed on a grid."""

import numpy as np

from scalecurv.machine import allowed
from scalecurv.measures.spectrum import Spectrum
from scalecurv.notebook.point import findings_of
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, SEED
from scalecurv.results.density import Density, SpectralRule
from scalecurv.results.density import density as smoothed

NUM_STARTS = 4  # Lanczos runs


def spectrum(
    problem: Problem,
    *,
    num_starts: int = NUM_STARTS,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    seed: int = SEED,
) -> SpectralRule:
    """Return the spectral density (1/P) sum_i delta(t - lambda_i) of H as `nodes` and `weights` of Gauss rules.

    sum_j weights[j] f(nodes[j]) estimates tr f(H) / P; nodes have the units of H and weights sum to 1. The rules come
    from `num_starts` Lanczos runs, which share `max_matvecs` products (Ubaru, Chen and Saad 2017). Where H is written
    out, for models of at most `max_matvecs` parameters, the nodes are all eigenvalues. Raises as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> rule = sc.spectrum(sc.Problem.quadratic(1.0, 3.0))
        >>> rule.nodes.round(6).tolist(), rule.weights.tolist()
        ([1.0, 3.0], [0.5, 0.5])
    """
    arrays = findings_of(problem, seed, Spectrum(num_starts, max_matvecs, allowed(memory))).arrays
    starts = arrays["ritz_starts"].astype(np.int64)
    return SpectralRule(arrays["ritz_nodes"].copy(), arrays["ritz_weights"].copy(), starts)


def density(
    source: Problem | SpectralRule,
    *,
    width: float | None = None,
    grid: np.ndarray | None = None,
    points: int = 400,
    interval: tuple[float, float] | None = None,
    num_starts: int = NUM_STARTS,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    seed: int = SEED,
) -> Density:
    """Return the spectral density of H smoothed by a Gaussian of this `width`: `grid` and `values`, (m,) each.

    phi(t) = sum_j weights[j] N(t; nodes[j], width^2), in one over the units of H; `stderr` is its standard error over
    the starts, and `truncation` bounds the error of the Gauss rules (Lin, Saad and Yang 2016). `source` is a problem
    or a rule that `spectrum` or `Store.spectrum` returned. For a problem, the last four options are those of
    `spectrum`; for a rule, they are ignored. The default width is the finest that the rule resolves to 1 % of the
    peak; the default grid has `points` points over all nodes. The spectrum lies in `interval`, by default the nodes'
    range widened by 5 %.
    Raises Misuse for an invalid width, grid, number of points or interval, and as `trace` does.

    Example:
        >>> import scalecurv as sc
        >>> curve = sc.density(sc.Problem.quadratic(1.0, 3.0), width=0.1)
        >>> round(float(curve.values.sum() * (curve.grid[1] - curve.grid[0])), 3)  # its integral
        1.0
    """
    if not isinstance(source, SpectralRule):
        source = spectrum(source, num_starts=num_starts, max_matvecs=max_matvecs, memory=memory, seed=seed)
    return smoothed(source, width, grid, points, interval)
