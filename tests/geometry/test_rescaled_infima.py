"""Neurons with zero entries on one side or both: their factors, and the factors of the other neurons."""

import numpy as np
import pytest

from scalecurv.geometry.rescaled import smallest_trace
from tests.geometry.test_rescaled import Layers, drawn, proven, total


def without(layers: Layers, layer: int, neuron: int) -> Layers:
    """Return the layers without one hidden neuron."""
    weights, biases = [w.copy() for w in layers[0]], [b.copy() for b in layers[1]]
    weights[layer], biases[layer] = np.delete(weights[layer], neuron, 0), np.delete(biases[layer], neuron)
    weights[layer + 1] = np.delete(weights[layer + 1], neuron, 1)
    return weights, biases


@pytest.mark.parametrize("layer", [0, 1])
def test_a_dead_neuron_keeps_its_scale(layer: int) -> None:
    """A neuron with zeros on both sides has factor 1; the minimum is attained and the other factors are unchanged."""
    layers = drawn((3, 3, 3, 2))
    layers[0][layer][1], layers[1][layer][1], layers[0][layer + 1][:, 1] = 0, 0, 0
    found, rest = smallest_trace(*layers), smallest_trace(*without(layers, layer, 1))
    assert found.attained
    assert found.factors[3 * layer + 1] == 1
    assert found.value == pytest.approx(rest.value, rel=1e-12)
    np.testing.assert_allclose(np.delete(found.factors, 3 * layer + 1), rest.factors, rtol=1e-6)
    assert total(layers, found.factors) == pytest.approx(found.value, rel=1e-12)
    assert found.value >= found.lower > found.value * (1 - 1e-12)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("side", ["in", "out"])
def test_a_neuron_that_costs_on_one_side(layer: int, side: str) -> None:
    """Its factor is NaN for 0 or infinity, and the value an infimum that more extreme factors approach."""
    layers = drawn((3, 3, 3, 2))
    if side == "in":
        layers[0][layer + 1][:, 1] = 0
    else:
        layers[0][layer][1], layers[1][layer][1] = 0, 0
    found, rest = smallest_trace(*layers), smallest_trace(*without(layers, layer, 1))
    at = 3 * layer + 1
    assert not found.attained
    assert np.isnan(found.factors).tolist() == [j == at for j in range(6)]
    assert found.value == pytest.approx(rest.value, rel=1e-12)
    np.testing.assert_allclose(np.delete(found.factors, at), rest.factors, rtol=1e-6)
    assert found.value >= found.lower > found.value * (1 - 1e-12)
    above = []
    for far in (1e1, 1e2, 1e3):
        factors = found.factors.copy()
        factors[at] = far if side == "in" else 1 / far
        above.append(total(layers, factors) - found.value)
    assert above[2] > 0
    assert above[0] / above[1] == pytest.approx(100, rel=1e-3)
    assert above[1] / above[2] == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("forward", [True, False])
def test_pruning_one_neuron_may_prune_others(forward: bool) -> None:
    """In a chain of single neurons whose last (first) entry is zero, each neuron drives the next one to zero."""
    weights, biases = [np.full((1, 1), t) for t in (2.0, 3.0, 4.0, 5.0)], [np.zeros(1), np.zeros(1), np.zeros(1)]
    weights[0 if forward else 3][:] = 0
    layers = (weights, [*biases, np.full(1, 0.25)])
    found = smallest_trace(*layers)
    assert (found.value, found.lower, found.attained) == (0.25, 0.25, False)
    assert np.isnan(found.factors).all()
    far = 1e-3 if forward else 1e3
    chain = far ** np.array([1, 2, 3]) if forward else far ** np.array([3, 2, 1])
    assert total(layers, 1 / chain if forward else chain) > 1e6  # the wrong way round
    assert 0.25 < total(layers, far ** np.array([3, 2, 1] if forward else [1, 2, 3])) < 0.25 + 1e-4


def test_a_pruned_branch_leaves_the_rest_alone() -> None:
    """Neuron 0 of the second layer leads nowhere; neuron 0 of the first feeds it alone. The others live on."""
    layers = drawn((3, 3, 3, 2), seed=4)
    layers[0][2][:, 0] = 0
    layers[0][1][1:, 0] = 0
    found = smallest_trace(*layers)
    assert np.isnan(found.factors).tolist() == [True, False, False, True, False, False]
    live = without(without(layers, 0, 0), 1, 0)
    rest = smallest_trace(*live)
    proven(rest, live)
    assert found.value == pytest.approx(rest.value, rel=1e-12)
    np.testing.assert_allclose(found.factors[[1, 2, 4, 5]], rest.factors, rtol=1e-6)


def test_a_bias_keeps_a_neuron_alive() -> None:
    """A neuron without incoming weights and with a bias has the minimum 2 sqrt(b t_out), attained."""
    found = smallest_trace([np.zeros((1, 2)), np.full((1, 1), 2.0)], [np.full(1, 8.0), np.zeros(1)])
    assert (found.value, found.attained) == (8, True)
    np.testing.assert_allclose(found.factors, [2**0.5], rtol=1e-12)


def test_the_bias_of_a_later_layer_is_nothing_that_goes_out() -> None:
    """The entries of the outputs' bias do not depend on the factor of the neuron before it."""
    found = smallest_trace([np.full((1, 1), 3.0), np.zeros((1, 1))], [np.zeros(1), np.full(1, 7.0)])
    assert (found.value, found.lower, found.attained) == (7, 7, False)


def test_some_layers_without_biases() -> None:
    """Each layer in turn has zeros in place of biases; the value is proven and attained."""
    for l in range(3):
        layers = drawn((3, 4, 3, 2), seed=5)
        layers[1][l][:] = 0
        proven(smallest_trace(*layers), layers)


@pytest.mark.parametrize("entries", [(1e-300, 1e300), (1e300, 1e-300), (1e308, 1e-308)])
def test_entries_of_any_size_have_their_geometric_mean(entries: tuple[float, float]) -> None:
    found = smallest_trace([np.array([[t]]) for t in entries], [np.zeros(1), np.zeros(1)])
    assert found.value == pytest.approx(2, rel=1e-12)
    assert found.lower == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize("entry", [np.nan, np.inf])
def test_what_does_not_add_up_is_no_number(entry: float) -> None:
    found = smallest_trace([np.array([[entry]]), np.ones((1, 1))], [np.zeros(1), np.zeros(1)])
    assert np.isnan([found.value, found.lower, *found.factors]).all()
    assert not found.attained
