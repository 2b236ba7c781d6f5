"""How many products an estimator takes until its true error stays below a target: an oracle's stop.

No estimator knows its true error, so this is the earliest stop that any rule could have. Where the samples end before
the error stays below the target, the number of products follows from the spread of single samples: the square law
n = sigma^2 / (target |truth|)^2, at which the root mean square of the error is the target.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stop:
    """Products until the error stays below the target, the error then; `extrapolated` where samples ended before."""

    products: float
    error: float
    extrapolated: bool = False


@dataclass(frozen=True)
class Slope:
    """The facts of a point that K needs beside T and F: beta, g'Hg and g'H^2 g."""

    beta: float
    ghg: float
    ghhg: float

    def curvature(self, T2: np.ndarray, T: np.ndarray, F: np.ndarray) -> np.ndarray:
        """Return K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg)."""
        return self.beta * (T2 - F) + 2 * self.beta**2 * (self.ghhg - T * self.ghg)


def running_means(samples: np.ndarray) -> np.ndarray:
    return np.cumsum(samples) / np.arange(1, len(samples) + 1)


def running_curvatures(x: np.ndarray, w: np.ndarray, slope: Slope) -> np.ndarray:
    """Return K after two samples, three, and so on, x = z'Hz and w = |Hz|^2; T^2 by the unbiased pairs of samples."""
    m = np.arange(1, len(x) + 1)[1:]
    sums, squares = np.cumsum(x)[1:], np.cumsum(x**2)[1:]
    return slope.curvature((sums**2 - squares) / (m * (m - 1)), sums / m, np.cumsum(w)[1:] / m)


def settled(values: np.ndarray, counts: np.ndarray, truth: float, target: float) -> Stop | None:
    """Return the first of `counts` from which on every value is within `target` of the truth, None where none is."""
    errors = np.abs(values / truth - 1)
    wrong = np.flatnonzero(errors > target)
    first = int(wrong[-1]) + 1 if len(wrong) else 0
    return None if first == len(values) else Stop(float(counts[first]), float(errors[first]))


def by_square_law(spread: float, truth: float, target: float) -> Stop:
    """Return the products after which the root mean square error of a mean is the target, of samples of this spread."""
    return Stop((spread / (target * abs(truth))) ** 2, target, extrapolated=True)


def stop_of_mean(samples: np.ndarray, truth: float, target: float) -> Stop:
    """Return the stop of a mean of samples, one product each."""
    counts = np.arange(1, len(samples) + 1)
    found = settled(running_means(samples), counts, truth, target)
    return found or by_square_law(float(samples.std(ddof=1)), truth, target)


def stop_of_curvature(x: np.ndarray, w: np.ndarray, slope: Slope, truth: float, target: float) -> Stop:
    """Return the stop of K by samples, one product each; by the law of its first-order term where they end before."""
    found = settled(running_curvatures(x, w, slope), np.arange(2, len(x) + 1), truth, target)
    psi = (2 * slope.beta * x.mean() - 2 * slope.beta**2 * slope.ghg) * x - slope.beta * w
    return found or by_square_law(float(psi.std(ddof=1)), truth, target)


def stop_of_grid(values: np.ndarray, counts: np.ndarray, truth: float, target: float) -> Stop:
    """Return the stop of an estimator that was run for each of `counts` products; where all fail, by error ~ 1 / n.

    That is the rate of Hutch++ (Meyer, Musco, Musco and Woodruff 2021), faster than the square law.
    """
    error = float(abs(values[-1] / truth - 1))
    return settled(values, counts, truth, target) or Stop(float(counts[-1] * error / target), target, True)
