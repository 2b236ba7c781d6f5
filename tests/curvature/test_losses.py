"""What targets a loss takes, in which form it wants them, and what it refuses."""

import re

import pytest
import torch

from scalecurv.curvature.losses import LOSSES
from scalecurv.errors import Misuse

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
    assert LOSSES["cross_entropy"].total(F, torch.tensor([2, 0])).item() == pytest.approx(surprise.item(), rel=1e-14)


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
            "y holds integers of shape (2, 1); give one class a sample, shape (N,)",
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
