"""The targets that each loss takes, their form, and those that it refuses."""

import re

import pytest
import torch
from torch import Tensor
from torch.func import hessian

from scalecurv.errors import Misuse
from scalecurv.problem.losses import LOSSES

F = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "given", "taken"),
    [
        ("mse", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ("mse", [2, 0], [[0, 0, 1], [1, 0, 0]]),
        ("cross_entropy", [2, 0], [2, 0]),
        ("cross_entropy", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]),
    ],
)
def test_targets_as_the_loss_takes_them(loss: str, given: list, taken: list) -> None:
    assert LOSSES[loss].targets(torch.tensor(given), 3).tolist() == torch.tensor(taken).tolist()


def test_one_column_of_floats() -> None:
    assert LOSSES["mse"].targets(torch.tensor([1.0, 2.0]), 1).tolist() == [[1.0], [2.0]]


def test_mse_is_half_the_squared_distance_and_cross_entropy_the_surprise() -> None:
    y = torch.zeros_like(F)
    assert LOSSES["mse"].total(F, y).item() == (1 + 4 + 0.25 + 9 + 1) / 2
    surprise = sum(torch.log(torch.exp(f).sum()) - f[k] for f, k in zip(F, (2, 0), strict=True))
    assert LOSSES["cross_entropy"].total(F, torch.tensor([2, 0])).item() == pytest.approx(surprise.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "y", "num_outputs", "message"),
    [
        (
            "mse",
            torch.zeros(2, 2),
            3,
            "y has shape (2, 2) but the model has 3 outputs; give y of shape (N, 3)",
        ),
        ("mse", torch.zeros(2), 3, "y has shape (2, 1) but the model has 3 outputs; give y of shape (N, 3)"),
        (
            "mse",
            torch.tensor([0, 3]),
            3,
            "y holds classes 0..3 but the model has 3 outputs; classes run from 0 to 2 "
            "(store y as floats for regression)",
        ),
        (
            "cross_entropy",
            torch.tensor([-1, 2]),
            3,
            "y holds classes -1..2 but the model has 3 outputs; classes run from 0 to 2 "
            "(store y as floats for regression)",
        ),
        (
            "cross_entropy",
            torch.tensor([[1], [2]]),
            3,
            "y holds integers of shape (2, 1); give one class a sample, shape (N,), or a loss of your own",
        ),
        (
            "cross_entropy",
            torch.zeros(2),
            3,
            "y holds floats of shape (2,); cross_entropy takes (N,) integer classes or (N, 3) probabilities",
        ),
        (
            "cross_entropy",
            torch.tensor([[0.5, 0.6, 0.1]]),
            3,
            "y holds rows that are no probabilities; make them non-negative and sum to 1, or use mse",
        ),
        (
            "cross_entropy",
            torch.tensor([[-0.5, 1.0, 0.5]]),
            3,
            "y holds rows that are no probabilities; make them non-negative and sum to 1, or use mse",
        ),
        (
            "cross_entropy",
            torch.tensor([0, 0]),
            1,
            "cross_entropy of a single output is zero everywhere; give the model 2 outputs, or use mse",
        ),
    ],
)
def test_targets_it_refuses(loss: str, y: torch.Tensor, num_outputs: int, message: str) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        LOSSES[loss].targets(y, num_outputs)


# ordinary outputs, equal ones, a sample that is sure of its class, and one surer than exp can tell
OUTPUTS = torch.tensor([[1.0, -2, 0.5], [0.3, 0.3, 0.3], [0, 20, 1], [-400, 400, 0]], dtype=torch.float64)
SOFT = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
REAL = torch.tensor([[1.0, 2, 3], [-4, 5, 6], [0, 0, 0], [-400, 400, 1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        pytest.param("mse", REAL, id="mse"),
        pytest.param("mse", torch.tensor([2, 0, 1, 1]), id="mse of classes"),
        pytest.param("cross_entropy", torch.tensor([2, 0, 1, 0]), id="classes"),
        pytest.param("cross_entropy", SOFT, id="probabilities"),
        pytest.param("cross_entropy", SOFT * (1 + 5e-5), id="probabilities that sum to a little more"),
        pytest.param("cross_entropy", SOFT * (1 - 5e-5), id="probabilities that sum to a little less"),
    ],
)
def test_the_factor_is_a_root_of_the_second_derivative(loss: str, y: Tensor) -> None:
    """F_i F_i' = d^2 loss / df^2 at each sample, whatever else is in the batch."""
    found = LOSSES[loss]
    y = found.targets(y, 3)
    assert found.factor is not None
    root = found.factor(OUTPUTS, y)
    for i, f in enumerate(OUTPUTS):
        M = hessian(lambda f, target=y[i : i + 1]: found.total(f[None], target))(f)
        torch.testing.assert_close(root[i] @ root[i].T, M, rtol=0, atol=1e-12)
    together = hessian(lambda f: found.total(f.view(4, 3), y))(OUTPUTS.flatten())
    torch.testing.assert_close(torch.block_diag(*(root @ root.transpose(1, 2))), together, rtol=0, atol=1e-12)
