"""The curvature of single samples, against the dense Hessian of each."""

import torch

from scalecurv.operators.by_sample import sample_forms, sample_squares, slope_and_product
from scalecurv.problem.problem import Problem
from tests.dense import dense_at
from tests.loops import each
from tests.networks import COVERING, data, network, problem


@each(("name", "loss", "reduction"), COVERING)
def test_each_sample_has_its_own_hessian(name: str, loss: str, reduction: str) -> None:
    at = problem(name, loss, reduction)
    U = torch.randn(at.num_params, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Z = [U[:, :2] + i for i in range(at.num_data)]
    forms, squares = sample_forms(at, at.whole, U), sample_squares(at, at.whole, Z)
    for i in range(at.num_data):
        alone = at.of_some(torch.tensor([i]))
        H = dense_at(alone).hessian * at.scale / alone.scale
        torch.testing.assert_close(forms[i], U.T @ H @ U, rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(squares[i], (H @ Z[i]).square().sum(0), rtol=1e-11, atol=1e-13)


@each(name=["relu", "tanh", "conv", "tied"])
def test_a_few_samples_have_their_gradient_and_product(name: str) -> None:
    at = problem(name, "cross_entropy", weight_decay=0.2)
    rows = torch.tensor([5, 1])
    slope, product = slope_and_product(at, at.rows.take(rows))
    truth = dense_at(at.of_some(rows))
    share = 2 / at.num_data
    torch.testing.assert_close(slope, share * truth.gradient)
    torch.testing.assert_close(product(slope[:, None])[:, 0], share * truth.hessian @ slope)
    assert not [key for key in at.cache if "pass_of" in str(key)]  # nothing is kept


def test_a_loss_of_ones_own_is_taken() -> None:
    at = Problem(network("tanh"), data("mse"), lambda f, y: ((f - y) ** 4).sum(1))
    U = torch.eye(at.num_params, dtype=torch.float64)[:, 30:33]
    forms = sample_forms(at, at.whole, U)
    point = at.theta.clone()

    def loss(theta: torch.Tensor) -> torch.Tensor:
        return at.scale * ((at.outputs(theta, at.x) - at.y) ** 4).sum()

    H = torch.autograd.functional.hessian(loss, point)
    torch.testing.assert_close(forms.sum(0), H[30:33, 30:33])
