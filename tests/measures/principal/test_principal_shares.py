"""Where the principal directions lie: the share of each layer, against dense eigenvectors."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.measures import Principal
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.principal.principal import PRINCIPAL
from tests.loops import each
from tests.networks import NETWORKS, layer_slices, oracle, problem
from tests.quadratic import quadratic


def shape_of(H: Tensor, g: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Eigenvalues (descending) and vectors of A = sqrt(beta) G^(-1/2) H G^(-1/2), and G^(-1/2)."""
    values, vectors = torch.linalg.eigh(torch.eye(len(g), dtype=torch.float64) + torch.outer(g, g))
    half = vectors * values**-0.5 @ vectors.T
    kappa, directions = torch.linalg.eigh(half @ H @ half / (1 + float(g @ g)) ** 0.5)
    return kappa.numpy()[::-1].copy(), directions.flip(1), half


@pytest.mark.parametrize("route", ["exact", "dense"])
def test_shares_are_of_the_directions_in_the_coordinates_of_theta(route: str) -> None:
    """|(G^(-1/2) u)_layer|^2 of each dense eigenvector u of A, largest curvature first, layer by layer."""
    truth = oracle("relu", "mse", "sum")
    kappa, directions, half = shape_of(truth.hessian, truth.gradient)
    found = Principal(1e-4, route=route).compute(Evaluation(problem("relu", "mse", "sum")))
    shares = found.arrays["principal_shares"].reshape(4, 3)
    assert shares.sum(1) == pytest.approx(np.ones(4), rel=1e-12)
    squares = ((half @ directions) ** 2)[:, [0, 1, -2, -1]]
    assert min(kappa[0] - kappa[1], kappa[1] - kappa[2], kappa[-2] - kappa[-1]) > 1e-2
    for i in range(4):
        wanted = [float(squares[part, i].sum() / squares[:, i].sum()) for part in layer_slices("relu").values()]
        assert shares[i] == pytest.approx(wanted, abs=2e-3)
    values, residuals = found.arrays["principal_values"], found.arrays["principal_residuals"]
    assert values[[-1, -2, 1, 0]] == pytest.approx([found.estimates[q].value for q in PRINCIPAL], rel=1e-6)
    assert (np.abs(values[:, None] - kappa).min(1) <= residuals + 1e-12).all()


@each(route=["generic", "dense"], name=NETWORKS)
def test_every_direction_has_a_share_in_every_layer(name: str, route: str) -> None:
    shares = Principal(0.1, 100, route=route).compute(Evaluation(problem(name))).arrays["principal_shares"]
    rows = shares.reshape(4, -1)
    assert rows.shape[1] >= len(layer_slices(name))
    assert rows.sum(1) == pytest.approx(np.ones(4), rel=1e-5)
    assert (rows >= 0).all()


@pytest.mark.parametrize("route", ["generic", "dense"])
def test_three_parameters_have_three_directions(route: str) -> None:
    class Three(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (torch.nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            a, b, c = (m.weight.sum() for m in (self.a, self.b, self.c))
            return (1.5 * a**2 + b**2 / 2 - c**2).expand(len(x), 1)

    point = quadratic(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    model = Three()
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    point = type(point)(model, (point.x, point.y), point.loss)
    shares = Principal(route=route).compute(Evaluation(point)).arrays["principal_shares"].reshape(3, 3)
    assert shares == pytest.approx(np.eye(3), abs=1e-9)
