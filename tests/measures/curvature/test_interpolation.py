"""When the data counts as fitted."""

import pytest
import torch
from torch import nn

from scalecurv.measures.curvature.semidefinite import interpolates
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.problem import Problem
from tests.networks import fitted, problem


@pytest.mark.parametrize("batch_size", [None, 3])
def test_fitted_to_a_millionth_of_the_largest_target(batch_size: int | None) -> None:
    """Of one residual alone, in the first sample or the last; a target of size below 1 counts as 1."""
    for row in (0, -1):
        for scale in (1.0, 1e-3, 100.0):
            point = fitted()
            y = scale * point.y
            model = nn.Sequential(*point.model[:-1], nn.Linear(4, 3).double())
            with torch.no_grad():
                model[-1].weight.copy_(scale * point.model[-1].weight)
                model[-1].bias.copy_(scale * point.model[-1].bias)
            bound = 1e-6 * max(float(y.abs().max()), 1.0)
            for factor, verdict in ((0.9, True), (1.1, False)):
                moved = y.clone()
                moved[row, 1] += factor * bound * (1 if moved[row, 1] < 0 else -1)  # the largest target stays
                asked = Problem(model, (point.x, moved), "mse", batch_size=batch_size)
                assert interpolates(Evaluation(asked)) == verdict
    assert not interpolates(Evaluation(problem("relu", "cross_entropy")))


def test_only_mse_can_be_fitted() -> None:
    """Cross-entropy against the model's own probabilities: no slope, and yet no interpolation."""
    point = problem("relu", "cross_entropy")
    own = point.outputs(point.theta, point.x).softmax(1).detach()
    fitted_classes = Problem(point.model, (point.x, own), "cross_entropy")
    assert float(Evaluation(fitted_classes).problem.y.abs().max()) < 1
    assert not interpolates(Evaluation(fitted_classes))


def test_single_precision_is_judged_in_double() -> None:
    """Residuals of 1e-7 and of 1e-5, as the rounded weights and targets leave them."""
    x, y = fitted().x, fitted().y
    for off, verdict in ((0.0, True), (1e-5, False)):
        asked = Problem(fitted().model, (x, y + off), "mse", dtype=torch.float32)
        assert interpolates(Evaluation(asked)) == verdict


def test_a_sum_that_cancels_is_judged_in_double() -> None:
    """0.1 a - 0.1 b with a and b about 10^4: single precision sees a residual of 10^-5 that is its own."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.1, -0.1]]))
    x = torch.tensor([[10000.3, 10000.0], [10001.7, 10001.1]])
    y = (x.double() @ model[0].weight.double().T).float()
    point = Problem(model, (x, y), "mse")
    assert float((point.outputs(point.theta, point.x) - point.y).abs().max()) > 1e-5
    assert interpolates(Evaluation(point))
