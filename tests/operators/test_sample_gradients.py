"""Pull-backs of single samples and their inner products, and R beside G, against the dense oracle."""

import pytest
import torch

from scalecurv.operators import sample_gradients
from scalecurv.operators.sample_gradients import layer_names, sample_rows
from scalecurv.operators.split import SplitOperator
from tests.networks import NETWORKS, layer_slices, oracle, problem


@pytest.mark.parametrize("name", list(NETWORKS))
def test_inner_products_by_layer_are_those_of_the_jacobian(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point, J = problem(name), oracle(name).jacobian.view(7, -1, oracle(name).jacobian.shape[1])
    D, rng = J.shape[1], torch.Generator().manual_seed(0)
    weights = torch.randn(7, 2, D, generator=rng, dtype=torch.float64)
    rows = torch.einsum("idp,iqd->iqp", J, weights).flatten(0, 1)
    places = layer_slices(name) if name in ("relu", "tanh", "conv", "tied", "partly") else point.space.layers
    wanted = torch.stack([rows[:, places[layer]] @ rows[:, places[layer]].T for layer in layer_names(point)])
    found = sample_rows(point, point.whole, weights)
    torch.testing.assert_close(found.grams(found), wanted)
    monkeypatch.setattr(sample_gradients, "is_vectorised", lambda *_: False)
    again = sample_rows(point, point.whole, weights)
    torch.testing.assert_close(again.grams(found), wanted)


@pytest.mark.parametrize("name", ["relu", "tanh", "conv"])
def test_r_stands_above_g_with_weight_decay(name: str) -> None:
    for batch_size in (None, 3):
        point, truth = (
            problem(name, "cross_entropy", weight_decay=0.1, batch_size=batch_size),
            oracle(name, "cross_entropy"),
        )
        P = point.num_params
        split, unit = SplitOperator(point), torch.eye(P, dtype=torch.float64)
        R, G = split.matmat(unit).chunk(2)
        torch.testing.assert_close(G, truth.gauss_newton + 0.1 * unit)
        torch.testing.assert_close(R, truth.hessian - truth.gauss_newton)
        assert (split.shape, split.cost) == ((2 * P, P), 2)
