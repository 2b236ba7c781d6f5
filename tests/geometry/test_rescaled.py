"""The smallest trace over all rescalings, against closed forms, convex optimisation and its lower bound."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from scalecurv.geometry import rescaled
from scalecurv.geometry.rescaled import Rescaled, smallest_trace

Layers = tuple[list[np.ndarray], list[np.ndarray]]


def drawn(widths: tuple[int, ...], seed: int = 0, decades: float = 1.0, biased: bool = True) -> Layers:
    """Return positive entries that span `decades` decades up and down."""
    rng = np.random.default_rng(seed)

    def entries(*shape: int) -> np.ndarray:
        return 10 ** rng.uniform(-decades, decades, shape)

    weights = [entries(m, n) for n, m in pairwise(widths)]
    return weights, [entries(m) if biased else np.zeros(m) for m in widths[1:]]


def split(layers: Layers, factors: np.ndarray) -> list[np.ndarray]:
    """Return the factors by layer, 1 for inputs and outputs."""
    weights, biases = layers
    ends = np.cumsum([len(b) for b in biases[:-1]])
    hidden = np.split(factors, ends)[: len(biases) - 1]
    return [np.ones(weights[0].shape[1]), *hidden, np.ones(len(biases[-1]))]


def total(layers: Layers, factors: np.ndarray) -> float:
    """Return the trace after rescaling: weights into a neuron times its factor, weights out of it divided by it."""
    alphas, terms = split(layers, factors), []
    for (before, after), w, b in zip(pairwise(alphas), *layers, strict=True):
        terms += [(w * before**2 / after[:, None] ** 2).sum(), (b / after**2).sum()]
    return float(sum(terms))


def uneven(layers: Layers, factors: np.ndarray) -> float:
    """Return the largest |in - out| / (in + out) of a neuron after rescaling, which is 0 at the minimum."""
    alphas = split(layers, factors)
    scaled = [w * p**2 / a[:, None] ** 2 for (p, a), w in zip(pairwise(alphas), layers[0], strict=True)]
    coming = [w.sum(1) + b / a**2 for w, b, a in zip(scaled, layers[1], alphas[1:], strict=True)]
    going = [w.sum(0) for w in scaled[1:]]
    return max(float((abs(c - g) / (c + g)).max()) for c, g in zip(coming, going, strict=False))


def optimised(layers: Layers) -> float:
    """Return the minimum by BFGS on the logarithms of the factors, with the gradient out - in of each neuron."""
    size = total(layers, np.ones(sum(len(b) for b in layers[1][:-1])))

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        factors = np.exp(np.clip(logs, -300, 300))
        alphas, slope = split(layers, factors), []
        scaled = [w * p**2 / a[:, None] ** 2 for (p, a), w in zip(pairwise(alphas), layers[0], strict=True)]
        for l, after in enumerate(alphas[1:-1]):
            slope.append(2 * (scaled[l + 1].sum(0) - scaled[l].sum(1) - layers[1][l] / after**2))
        return total(layers, factors) / size, np.concatenate(slope) / size

    start = np.zeros(sum(len(b) for b in layers[1][:-1]))
    return size * float(minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-12}).fun)


def proven(found: Rescaled, layers: Layers, rtol: float = 1e-12) -> None:
    """Assert that both bounds agree and that the factors attain the value with every neuron balanced."""
    assert found.lower <= found.value <= found.lower * (1 + rtol)
    assert found.attained
    assert total(layers, found.factors) == pytest.approx(found.value, rel=1e-12)
    if len(found.factors):
        assert uneven(layers, found.factors) < 1e-5


def test_one_hidden_layer_in_closed_form() -> None:
    """The minimum is sum_j 2 sqrt(t_in t_out) + t_b at alpha_j = (t_in / t_out)^(1/4), found in one sweep."""
    for biased in [True, False]:
        for seed in range(4):
            layers = drawn((4, 6, 3), seed, biased=biased)
            (w, after), (b, last) = layers
            t_in, t_out = w.sum(1) + b, after.sum(0)
            found = smallest_trace(*layers)
            assert found.value == pytest.approx((2 * np.sqrt(t_in * t_out)).sum() + last.sum(), rel=1e-12)
            np.testing.assert_allclose(found.factors, (t_in / t_out) ** 0.25, rtol=1e-12)
            assert found.sweeps == 2
            proven(found, layers, 1e-12)


def test_deep_layers_against_convex_optimisation() -> None:
    for biased in [True, False]:
        for widths in [(3, 4, 2), (2, 3, 4, 2), (5, 4, 3, 6, 1), (1, 1, 1, 1, 1), (2, 2, 2, 2, 2, 2, 2)]:
            layers = drawn(widths, seed=3, biased=biased)
            found, best = smallest_trace(*layers), optimised(layers)
            proven(found, layers)
            assert found.value == pytest.approx(best, rel=1e-9)
            assert found.lower <= best * (1 + 1e-12)
            assert found.factors.shape == (sum(widths[1:-1]),)
            assert found.value < 0.95 * total(layers, np.ones(len(found.factors)))


def test_no_factors_do_better() -> None:
    """None of a thousand random factors, near and far, gives less than the proven bound."""
    layers = drawn((3, 4, 3, 2), seed=1)
    found, rng = smallest_trace(*layers), np.random.default_rng(0)
    for _ in range(1000):
        nudge = np.exp(rng.standard_normal(7) * 10 ** rng.uniform(-4, 0))
        assert total(layers, found.factors * nudge) > found.lower


def test_a_chain_of_single_neurons() -> None:
    """Without biases the minimum of x a^2 + y b^2 + z c^2 with a b c = 1 is 3 (x y z)^(1/3)."""
    x, y, z = 2.0, 16.0, 2.0
    found = smallest_trace([np.full((1, 1), t) for t in (x, y, z)], [np.zeros(1)] * 3)
    assert found.value == pytest.approx(3 * (x * y * z) ** (1 / 3), rel=1e-12)
    np.testing.assert_allclose(found.factors, [2**-0.5, 2**0.5], rtol=1e-6)


@pytest.mark.parametrize(("sweeps", "gap"), [(1, 2.0), (5, 1.0), (40, 1e-2)])
def test_sweeps_that_do_not_arrive(monkeypatch: pytest.MonkeyPatch, sweeps: int, gap: float) -> None:
    """A chain of 12 neurons, cut short: the bounds hold the minimum P (x_1 .. x_P)^(1/P) between them."""
    monkeypatch.setattr(rescaled, "SWEEPS", sweeps)
    entries = 10 ** np.random.default_rng(0).uniform(-1, 1, 12)
    layers = ([np.full((1, 1), t) for t in entries], [np.zeros(1)] * 12)
    found, truth = smallest_trace(*layers), 12 * np.exp(np.log(entries).mean())
    assert found.sweeps == sweeps
    assert found.lower < truth < found.value
    assert 1e-4 * gap < (found.value - found.lower) / truth < gap
    assert total(layers, found.factors) == pytest.approx(found.value, rel=1e-12)


def test_without_a_hidden_layer_there_is_nothing_to_choose() -> None:
    found = smallest_trace([np.array([[1.0, 2.0]])], [np.array([0.5])])
    assert (found.value, found.lower, found.attained, found.factors.shape) == (3.5, 3.5, True, (0,))


def test_no_curvature_at_all() -> None:
    found = smallest_trace([np.zeros((2, 3)), np.zeros((1, 2))], [np.zeros(2), np.zeros(1)])
    assert (found.value, found.lower, found.attained, found.factors.tolist()) == (0, 0, True, [1, 1])


def test_balanced_layers_are_left_alone() -> None:
    """Where t_in = t_out everywhere, all factors are exactly 1 and one sweep is enough."""
    layers = ([np.full((2, 2), 3.0)] * 3, [np.zeros(2)] * 3)
    found = smallest_trace(*layers)
    assert (found.value, found.factors.tolist(), found.sweeps) == (36, [1, 1, 1, 1], 1)
    assert layers[0][0].tolist() == [[3, 3], [3, 3]]  # what was given is not written to


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_it_scales_with_the_loss(scale: float) -> None:
    weights, biases = drawn((3, 4, 3, 2), seed=2)
    one, many = (
        smallest_trace(weights, biases),
        smallest_trace([scale * w for w in weights], [scale * b for b in biases]),
    )
    assert many.value == pytest.approx(scale * one.value, rel=1e-12)
    assert many.lower == pytest.approx(scale * one.lower, rel=1e-12)
    np.testing.assert_allclose(many.factors, one.factors, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_rescaled_layers_have_the_same_smallest_trace(seed: int) -> None:
    """Rescaled entries have the same smallest trace, and the factors undo the rescaling."""
    layers = drawn((3, 4, 3, 2), seed)
    applied = np.exp(np.random.default_rng(seed).uniform(-4, 4, 7))
    alphas = split(layers, applied)
    other = (
        [w * p**2 / a[:, None] ** 2 for (p, a), w in zip(pairwise(alphas), layers[0], strict=True)],
        [b / a**2 for b, a in zip(layers[1], alphas[1:], strict=True)],
    )
    found, moved = smallest_trace(*layers), smallest_trace(*other)
    assert moved.value == pytest.approx(found.value, rel=1e-12)
    np.testing.assert_allclose(moved.factors * applied, found.factors, rtol=1e-5)


def test_entries_of_24_decades() -> None:
    for seed in range(4):
        for widths in [(3, 4, 2), (3, 4, 3, 2), (2, 3, 3, 3, 2)]:
            layers = drawn(widths, seed, decades=12)
            found = smallest_trace(*layers)
            assert found.lower <= found.value <= found.lower * (1 + 1e-12)
            assert total(layers, found.factors) == pytest.approx(found.value, rel=1e-12)
            nudges = np.exp(0.1 * np.random.default_rng(0).standard_normal((200, len(found.factors))))
            assert min(total(layers, found.factors * nudge) for nudge in nudges) >= found.value * (1 - 1e-12)
