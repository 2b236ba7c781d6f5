"""The density of prescribed spectra: it is the smoothed truth, within the two errors that come with it."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import norm
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.probes import probes
from scalecurv.results.density import SpectralRule, density
from scalecurv.statistics.estimate import Estimate, Status
from tests.calibration import assert_calibrated
from tests.matrices import SPECTRA, orthogonal, symmetric

SPREAD = ["outliers", "flat", "power law", "indefinite", "negative"]


@cache
def gauss(spectrum: str, steps: int, seeds: tuple[int, ...]) -> SpectralRule:
    """The pooled Lanczos runs of a matrix with this spectrum, one a seed."""
    operator = DenseOperator(symmetric(SPECTRA[spectrum]))
    rules = [lanczos(operator, start(seed), steps).quadrature for seed in seeds]
    nodes, weights = (np.concatenate([getattr(r, part) for r in rules]) for part in ("nodes", "weights"))
    return SpectralRule(nodes, weights / len(seeds), np.repeat(seeds, [len(r.nodes) for r in rules]))


def start(seed: int) -> Tensor:
    return probes(80, seed, "test density", [0], "gaussian")[:, 0]


def spectral_measure(spectrum: str, seeds: tuple[int, ...], t: np.ndarray, width: float) -> np.ndarray:
    """sum_i (q'u_i)^2 N(t; lambda_i, width^2), the mean over the unit starts q."""
    U, q = orthogonal(80, 0).numpy(), np.stack([start(seed).numpy() for seed in seeds])
    shares = ((q / np.linalg.norm(q, axis=1, keepdims=True)) @ U) ** 2
    return norm.pdf(t[:, None], SPECTRA[spectrum], width) @ shares.mean(axis=0)


def ends(spectrum: str) -> tuple[float, float]:
    return float(SPECTRA[spectrum].min()), float(SPECTRA[spectrum].max())


@pytest.mark.parametrize("spectrum", SPREAD)
def test_the_truncation_error_is_within_its_bound(spectrum: str) -> None:
    """At every number of steps and every width, each of them with every set of starts."""
    low, high = ends(spectrum)
    for i, steps in enumerate((1, 2, 5, 12, 30)):
        for j, fraction in enumerate((2.0, 0.5, 0.1, 0.03)):
            seeds = ((0,), (1,), (2, 3, 4))[(i + j) % 3]
            width = fraction * (high - low)
            t = np.linspace(low - 2 * width, high + 2 * width, 101)
            found = density(gauss(spectrum, steps, seeds), width, t, interval=(low, high))
            error = np.abs(found.values - spectral_measure(spectrum, seeds, t, width)).max()
            assert error <= found.truncation + 1e-13 / width, (steps, fraction, seeds)


def test_the_bound_shrinks_with_every_step() -> None:
    for spectrum in ("outliers", "power law", "indefinite", "negative"):
        low, high = ends(spectrum)
        width = (high - low) / 16
        bounds = [density(gauss(spectrum, k, (0,)), width, interval=(low, high)) for k in (5, 12, 20, 30, 40)]
        relative = np.array([d.truncation for d in bounds]) * (high - low)
        assert (np.diff(relative) < 0).all(), spectrum
        assert relative[-1] < 1e-6, spectrum


def test_the_shortest_run_and_the_interval_rule_the_bound() -> None:
    short, long = gauss("indefinite", 5, (0,)), gauss("indefinite", 40, (1,))
    t, wide = np.linspace(-2, 2, 9), (-4.0, 4.0)
    bounds = [density(rule, 0.5, t, interval=wide).truncation for rule in (short, short.merge(long), long)]
    assert bounds[0] == bounds[1] > 10 * bounds[2]
    assert density(short, 0.5, t, interval=(-8, 8)).truncation > bounds[0]
    first, last = long.nodes.min(), long.nodes.max()
    widened = (first - 0.05 * (last - first), last + 0.05 * (last - first))
    few = SpectralRule(long.nodes[[0, -1]], np.array([0.5, 0.5]), np.zeros(2))
    assert density(few, 2.0, t).truncation == pytest.approx(density(few, 2.0, t, interval=widened).truncation)
    assert density(few, 2.0, t).truncation > 1.01 * density(few, 2.0, t, interval=(first, last)).truncation


def test_it_integrates_to_one() -> None:
    for spectrum, width in product(SPREAD, (None, 0.5)):
        found = density(gauss(spectrum, 40, (0, 1, 2)), width)
        nodes = gauss(spectrum, 40, (0, 1, 2)).nodes
        assert len(found.grid) == 400
        assert found.grid[[0, -1]] == pytest.approx([nodes.min() - 4 * found.width, nodes.max() + 4 * found.width])
        assert np.trapezoid(found.values, found.grid) == pytest.approx(1, abs=1e-4), (spectrum, width)


@pytest.mark.parametrize(
    ("spectrum", "steps", "points"),
    [(s, *c) for s in ("outliers", "flat") for c in ((6, 400), (12, 400), (40, 400), (40, 100), (40, 1000))]
    + [("power law", 12, 400), ("indefinite", 40, 100), ("negative", 6, 400)],
)
def test_the_default_width_is_the_finest_that_is_resolved(spectrum: str, steps: int, points: int) -> None:
    low, high = ends(spectrum)
    rule = gauss(spectrum, steps, (0, 1))

    def resolved(width: float) -> bool:
        found = density(rule, width, points=points, interval=(low, high))
        fine = found.grid[1] - found.grid[0] <= width
        return bool(fine and found.truncation <= 0.01 * found.values.max())

    width = density(rule, points=points, interval=(low, high)).width
    halvings = np.log2((high - low) / width)
    assert halvings == pytest.approx(round(halvings), abs=1e-9)
    assert all(resolved((high - low) / 2**i) for i in range(round(halvings) + 1))
    assert not resolved(width / 2)
    assert density(rule, grid=np.array([1e3]), points=points, interval=(low, high)).width == width


def test_more_steps_resolve_more() -> None:
    widths = [density(gauss("indefinite", steps, (0,)), interval=ends("indefinite")).width for steps in (4, 12, 40)]
    assert widths[0] > widths[1] > widths[2]


def test_values_and_standard_error_by_hand() -> None:
    """Two starts of 1 and 2 nodes: the mean of two curves, and half their distance."""
    rule = SpectralRule(np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.2, 0.3]), np.array([4, 7, 7]))
    t = np.array([-0.3, 0.8, 2.9])
    one, two = norm.pdf(t, 0, 0.7), 0.4 * norm.pdf(t, 1, 0.7) + 0.6 * norm.pdf(t, 3, 0.7)
    found = density(rule, 0.7, t)
    np.testing.assert_allclose(found.values, (one + two) / 2, rtol=1e-12)
    np.testing.assert_allclose(found.stderr, np.abs(one - two) / 2, rtol=1e-12)
    assert found.grid.tolist() == t.tolist()
    assert (found.width, rule.num_starts, rule.num_nodes) == (0.7, 2, 1)
    assert np.isnan(density(gauss("flat", 2, (0,)), 0.7, t).stderr).all()


@pytest.mark.parametrize("spectrum", ["outliers", "power law", "indefinite"])
def test_many_starts_find_the_density_itself(spectrum: str) -> None:
    low, high = ends(spectrum)
    width, t = (high - low) / 8, np.linspace(low, high, 9)
    found = density(gauss(spectrum, 40, tuple(range(60))), width, t, interval=(low, high))
    truth = norm.pdf(t[:, None], SPECTRA[spectrum], width).mean(axis=1)
    assert (np.abs(found.values - truth) <= 4 * found.stderr + found.truncation).all()
    assert (found.stderr < 0.2 * truth.max()).all()


@pytest.mark.parametrize("at", [-1.0, 0.2])
def test_the_standard_error_is_calibrated(at: float) -> None:
    """Over 300 sets of 50 starts, each with the spectral measure that full-length Lanczos runs end in."""
    eigenvalues, t = SPECTRA["indefinite"], np.array([at])
    truth = float(norm.pdf(at, eigenvalues, 0.4).mean())
    rng, estimates = np.random.default_rng(3), []
    for _ in range(300):
        q = rng.standard_normal((50, 80))
        shares = (q / np.linalg.norm(q, axis=1, keepdims=True)) ** 2 / 50
        rule = SpectralRule(np.tile(eigenvalues, 50), shares.ravel(), np.repeat(np.arange(50), 80))
        found = density(rule, 0.4, t)
        value, stderr = float(found.values[0]), float(found.stderr[0])
        interval = (value - 1.96 * stderr, value + 1.96 * stderr)
        estimates.append(Estimate(value, stderr, *interval, 0.95, 50, 50, "density", Status.CONVERGED))
    assert_calibrated(estimates, truth)


@pytest.mark.parametrize("sizes", [(4, 4), (1, 3), (3, 1, 2)])
def test_merged_rules_are_those_of_one_run_over_all_starts(sizes: tuple[int, ...]) -> None:
    bounds = np.cumsum([0, *sizes])
    first, *others = (gauss("indefinite", 9, tuple(range(a, b))) for a, b in pairwise(bounds))
    merged, whole = first.merge(*others), gauss("indefinite", 9, tuple(range(bounds[-1])))
    for part in ("nodes", "weights", "starts"):
        np.testing.assert_allclose(getattr(merged, part), getattr(whole, part), rtol=1e-12)
    again = merged.merge(merged)  # the numbers of its starts are no others than those already there
    assert again.num_starts == 2 * sum(sizes)
    assert np.bincount(again.starts, again.weights) == pytest.approx(np.full(2 * sum(sizes), 0.5 / sum(sizes)))
    assert np.array_equal(first.merge().weights, first.weights)


RULE = SpectralRule(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.zeros(2))
ONES = np.ones(2)


UNANSWERABLE: list[tuple[Callable[[], object], str]] = [
    (lambda: SpectralRule(ONES, np.ones(3) / 3, ONES), "give three of one shape"),
    (lambda: SpectralRule(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2))), "give three of one shape"),
    (lambda: SpectralRule(np.ones(0), np.ones(0), np.ones(0)), "give three of one shape"),
    (lambda: SpectralRule(np.array([np.inf, 1]), ONES / 2, ONES), "not finite"),
    (lambda: SpectralRule(ONES, np.array([np.nan, 1]), ONES), "not finite"),
    (lambda: SpectralRule(ONES, ONES, ONES), "they must sum to 1 each"),
    (lambda: SpectralRule(ONES, np.array([0.4, 0.6]), np.arange(2)), "they must sum to 0.5 each"),
    *((lambda w=w: density(RULE, w), "give a positive number") for w in (0.0, -1.0, 1e-30, 1e30, np.nan, np.inf)),
    *((lambda t=t: density(RULE, 1.0, t), "of shape") for t in (ONES[:0], np.ones((2, 2)), ONES * np.nan)),
    (lambda: density(RULE, 1.0, points=1), "points >= 2"),
    (lambda: density(RULE, interval=(2.0, 1.0)), "the lower first"),
    (lambda: density(RULE, interval=(0.0, np.inf)), "two finite numbers"),
    (lambda: density(RULE, interval=(0.0, 0.99)), "leaves out nodes from 0 to 1"),
    (lambda: density(RULE, interval=(0.01, 1.0)), "leaves out nodes from 0 to 1"),
    (lambda: density(RULE, points=3), "on 3 points resolve no width"),
    (lambda: density(SpectralRule(ONES, ONES / 2, np.arange(2)), interval=(0, 2)), "rules of 1 node"),
    (lambda: density(SpectralRule(np.array([5.0, 5 + 1e-9]), ONES / 2, np.zeros(2)), 1.0), "no interval follows"),
    (lambda: density(SpectralRule(0 * ONES, ONES / 2, np.arange(2)), 1.0), "no interval follows"),
]  # fmt: skip


def test_what_cannot_be_answered_is_said_in_one_line() -> None:
    for ask, message in UNANSWERABLE:
        with pytest.raises(Misuse) as caught:
            ask()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nodes_may_lie_outside_a_given_interval_by_rounding() -> None:
    found = density(RULE, 0.5, np.linspace(0, 1, 9), interval=(1e-5, 1 - 1e-5))
    assert found.truncation == density(RULE, 0.5, np.linspace(0, 1, 9), interval=(0, 1)).truncation


def test_of_all_eigenvalues_nothing_is_estimated() -> None:
    """Their density is the smoothed spectrum itself, at any width, and no rule beside it adds anything."""
    for spectrum in SPREAD:
        nodes = SPECTRA[spectrum]
        rule = SpectralRule(nodes, np.full(80, 1 / 80), np.full(80, -1))
        low, high = ends(spectrum)
        for width in (high - low, 0.01 * (high - low)):
            t = np.linspace(low, high, 101)
            found = density(rule, width, t)
            np.testing.assert_allclose(found.values, norm.pdf(t[:, None], nodes, width).mean(axis=1), rtol=1e-10)
            assert not found.stderr.any()
            assert found.truncation == 0
        assert density(rule).width <= density(gauss(spectrum, 30, (0,))).width
        for pooled in (rule.merge(gauss(spectrum, 5, (1, 2))), gauss(spectrum, 5, (1, 2)).merge(rule, rule)):
            assert pooled is rule


def test_an_interval_holds_the_sampling_error_and_the_truncation() -> None:
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), 4) / 4
    rule = SpectralRule(np.tile(np.arange(5.0), 4), weights.ravel(), np.repeat(np.arange(4), 5))
    found = density(rule, width=0.4)
    lower, upper = found.interval(truncation=False)
    assert upper - found.values == pytest.approx(3.182446305 * found.stderr, rel=1e-8)  # t of 97.5 % for 3 degrees
    assert lower == pytest.approx(np.maximum(found.values - 3.182446305 * found.stderr, 0), abs=1e-9)
    assert found.truncation > 0
    assert found.interval()[1] - upper == pytest.approx(np.full(len(upper), found.truncation))
    alone = rule.by_start()[0][0], np.full(5, 0.2)
    assert (density(SpectralRule(*alone, np.zeros(5)), 0.4).interval()[1] == np.inf).all()
    every = density(SpectralRule(*alone, np.full(5, -1)), 0.4)
    assert [end.tolist() for end in every.interval()] == [every.values.tolist()] * 2
