"""The spectral density from Gauss rules, smoothed when read, with its sampling error and its truncation error."""

import math
from dataclasses import dataclass

import numpy as np

from scalecurv.display import Described
from scalecurv.errors import Misuse
from scalecurv.results.student import student_quantile
from scalecurv.results.truncation import truncation_bound
from scalecurv.sketch import bars, panel

WIDENED = 0.05  # share of the nodes' range added at either end, where no interval is given
RESOLVED = 0.01  # truncation error that the default width allows, relative to the peak
ROUNDING = 1e-3  # share of a given interval's length by which nodes may lie outside it
DISTINCT = 1e-6  # relative to the largest node; closer nodes may be one eigenvalue and rounding
EVERY = -1  # in place of a start's number where nodes are all eigenvalues
WIDTHS = (1e-15, 1e15)  # relative to the interval's length; beyond them there is only rounding


@dataclass(frozen=True, repr=False)
class SpectralRule(Described):
    """Gauss rules of several random starts, pooled: sum_j weights[j] f(nodes[j]) ~ tr f(A) / n.

    `nodes`, `weights` and `starts` have shape (m,); starts[j] numbers the start that node j came from. Every start
    has the same weight, and all weights sum to 1; raises Misuse where they do not. Where starts[j] is EVERY for all j
    the nodes are all n eigenvalues, and nothing is estimated. (Ubaru, Chen and Saad 2017)

    Example:
        >>> import numpy as np
        >>> rule = SpectralRule(np.array([-1.0, 3.0]), np.array([0.25, 0.75]), np.array([0, 0]))
        >>> rule.num_starts, rule.num_nodes, float(rule.weights @ rule.nodes)  # the mean eigenvalue
        (1, 2, 2.0)
    """

    nodes: np.ndarray
    weights: np.ndarray
    starts: np.ndarray

    _bare = ("kind",)

    @property
    def _facts(self) -> dict[str, str]:
        kind = f"all {len(self.nodes):,} eigenvalues" if self.exact else f"{len(self.nodes):,} nodes"
        starts = {} if self.exact else {"starts": str(self.num_starts)}
        return {"kind": kind, **starts, "range": f"{self.nodes.min():.6g} .. {self.nodes.max():.6g}"}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + bars("weights", self.nodes.tolist(), self.weights.tolist(), "eigenvalue")

    def __post_init__(self) -> None:
        shapes = {np.shape(part) for part in (self.nodes, self.weights, self.starts)}
        if len(shapes) > 1 or np.ndim(self.nodes) != 1 or np.size(self.nodes) == 0:
            raise Misuse(f"nodes, weights and starts have shapes {sorted(shapes)}; give three of one shape (m,)")
        if not (np.isfinite(self.nodes).all() and np.isfinite(self.weights).all()):
            raise Misuse("a node or a weight is not finite; give the Gauss rules of runs that did not overflow")
        sums = np.array([weights.sum() for _, weights in self.by_start()])
        if not np.allclose(sums * len(sums), 1, rtol=0, atol=1e-6):
            raise Misuse(f"the weights of the starts sum to {sums}; they must sum to {1 / len(sums):g} each")

    @property
    def exact(self) -> bool:
        """True where the nodes are all eigenvalues."""
        return bool((self.starts == EVERY).all())

    @property
    def num_starts(self) -> int:
        return len(np.unique(self.starts))

    @property
    def num_nodes(self) -> int:
        """The number of nodes of the shortest rule: every rule is exact to degree 2 num_nodes - 1."""
        return min(len(nodes) for nodes, _ in self.by_start())

    def by_start(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (nodes, weights) of each start, in the order of their numbers."""
        return [(self.nodes[self.starts == i], self.weights[self.starts == i]) for i in np.unique(self.starts)]

    def merge(self, *rules: "SpectralRule") -> "SpectralRule":
        """Return one rule of this and others of independent starts: equal weights, starts renumbered from 0.

        Where one of them is exact, it is returned alone.
        """
        if exact := next((rule for rule in (self, *rules) if rule.exact), None):
            return exact
        pool = [(nodes, w * rule.num_starts) for rule in (self, *rules) for nodes, w in rule.by_start()]
        nodes, weights = (np.concatenate(parts) for parts in zip(*pool, strict=True))
        return SpectralRule(nodes, weights / len(pool), np.repeat(np.arange(len(pool)), [len(w) for _, w in pool]))

    def density(self, width: float | None = None, grid: np.ndarray | None = None) -> "Density":
        """Return the rule smoothed by `width` on `grid`: see `scalecurv.density`, whose errors it raises."""
        return density(self, width, grid)


@dataclass(frozen=True, repr=False)
class Density(Described):
    """The smoothed density on `grid` (m,): `values` and their standard error over the starts, both (m,).

    `truncation` bounds, at every point of the grid, the difference between the Gauss rules and the spectral measures of
    their starts, both smoothed by `width`. It adds to the sampling error and is no part of it.
    """

    grid: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    truncation: float
    width: float
    num_starts: int = 1

    _bare = ("size",)

    def interval(self, confidence: float = 0.95, truncation: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends, both (m,), of Student's interval of the values over the starts, widened by the truncation.

        Without `truncation` it is that of the sampling error alone. Its upper end is infinite for one start, whose
        error is not known. No density is below 0.
        """
        if not self.stderr.any():  # every eigenvalue is known
            return self.values, self.values
        reach = np.full(len(self.values), math.inf)
        if self.num_starts > 1:
            reach = student_quantile(confidence, self.num_starts - 1) * self.stderr
            reach = reach + self.truncation if truncation else reach
        return np.maximum(self.values - reach, 0.0), self.values + reach

    @property
    def _facts(self) -> dict[str, str]:
        ends = f"{self.grid.min():.6g} .. {self.grid.max():.6g}"
        numbers = {"width": f"{self.width:.6g}", "truncation": f"{self.truncation:.6g}"}
        return {"size": f"{len(self.grid):,} points", "range": ends, **numbers}

    def _repr_html_(self) -> str:
        spread = np.nan_to_num(self.stderr)
        parts = (self.grid, self.values, self.values - spread, self.values + spread)
        points = list(zip(*(part.tolist() for part in parts), strict=True))
        return super()._repr_html_() + panel("density +- stderr", [points], "eigenvalue")


def density(
    rule: SpectralRule,
    width: float | None = None,
    grid: np.ndarray | None = None,
    points: int = 400,
    interval: tuple[float, float] | None = None,
) -> Density:
    """Return phi(t) = sum_j weights[j] N(t; nodes[j], width^2) on `grid`, else on `points` over the nodes +- 4 widths.

    stderr is sd over the starts / sqrt(num_starts), NaN for one start; it is 0, and `truncation` too, where the rule is
    exact. `truncation` holds if the spectrum lies in `interval`, up to the rounding of the Lanczos run; without
    `interval` it is taken to be the nodes' range, widened by 5 % of it at either end. The default width is the
    interval's length, halved for as long as `truncation` is at most 1 % of the peak and the default grid is no coarser
    than the width. Raises Misuse for an invalid width, grid, number of points or interval, where nodes lie outside the
    interval, and where no width resolves anything. (Lin, Saad and Yang 2016)

    Example:
        >>> import numpy as np
        >>> rule = SpectralRule(np.array([-1.0, 3.0]), np.array([0.25, 0.75]), np.array([EVERY, EVERY]))
        >>> curve = density(rule, width=0.1)
        >>> round(float(curve.values.sum() * (curve.grid[1] - curve.grid[0])), 3), curve.truncation
        (1.0, 0.0)
    """
    if points < 2 or (grid is not None and (np.ndim(grid) != 1 or np.size(grid) == 0 or not np.isfinite(grid).all())):
        raise Misuse("the grid is empty, not finite or of several axes; give numbers of shape (m,), or points >= 2")
    interval = _interval(rule, interval)
    length = interval[1] - interval[0]
    if width is not None and not WIDTHS[0] * length <= width <= WIDTHS[1] * length:
        raise Misuse(
            f"width is {width}; give a positive number, of the order of the spectrum's length {length:g} or less"
        )
    sigma = _default_width(rule, interval, points) if width is None else width
    t = _default_grid(rule, sigma, points) if grid is None else np.asarray(grid, dtype=np.float64)
    curves = _curves(rule, sigma, t)
    if rule.exact:
        return Density(t, curves[0], np.zeros(len(t)), 0.0, sigma)
    scatter = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.full(len(t), math.nan)
    truncation = truncation_bound(rule.num_nodes, sigma, t, interval)
    return Density(t, curves.mean(axis=0), scatter / math.sqrt(len(curves)), truncation, sigma, len(curves))


def _interval(rule: SpectralRule, given: tuple[float, float] | None) -> tuple[float, float]:
    """Return the interval that holds the spectrum, the given one or from the nodes; raises Misuse where it cannot."""
    first, last = float(rule.nodes.min()), float(rule.nodes.max())
    if given is None:
        if last - first <= DISTINCT * max(abs(first), abs(last)):
            raise Misuse(f"every node is {first:g}, from which no interval follows; give interval=(low, high)")
        return first - WIDENED * (last - first), last + WIDENED * (last - first)
    low, high = given
    if not -math.inf < low < high < math.inf:
        raise Misuse(f"interval is ({low}, {high}); give two finite numbers, the lower first")
    slack = ROUNDING * (high - low)
    if first < low - slack or last > high + slack:
        raise Misuse(f"interval ({low:g}, {high:g}) leaves out nodes from {first:g} to {last:g}; give a wider one")
    return min(low, first), max(high, last)


def _default_width(rule: SpectralRule, interval: tuple[float, float], points: int) -> float:
    found, width = 0.0, interval[1] - interval[0]
    while True:
        grid = _default_grid(rule, width, points)
        peak = _curves(rule, width, grid).mean(axis=0).max()
        truncation = 0.0 if rule.exact else truncation_bound(rule.num_nodes, width, grid, interval)
        if grid[1] - grid[0] > width or truncation > RESOLVED * peak:
            break
        found, width = width, width / 2
    if not found:
        raise Misuse(
            f"rules of {rule.num_nodes} node(s) on {points} points resolve no width to 1 % of the peak; "
            "give width, more points, or analyze with more --max-matvecs"
        )
    return found


def _default_grid(rule: SpectralRule, width: float, points: int) -> np.ndarray:
    return np.linspace(rule.nodes.min() - 4 * width, rule.nodes.max() + 4 * width, points)


def _curves(rule: SpectralRule, width: float, grid: np.ndarray) -> np.ndarray:
    """Return the smoothed measure of each start on the grid, each of mass 1, shape (num_starts, len(grid))."""
    scale = rule.num_starts / (math.sqrt(2 * math.pi) * width)
    return np.array(
        [scale * np.exp(-(((grid[:, None] - n) / width) ** 2) / 2) @ weights for n, weights in rule.by_start()]
    )
