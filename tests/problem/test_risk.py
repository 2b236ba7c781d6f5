"""Loss and gradient are sums over data, whatever the batches."""

import pytest
import torch
from torch.nn import functional

from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient, sum_over_data
from tests.loops import each
from tests.networks import COVERING, NUM_OUTPUTS, data, network, oracle, problem


@each(case=COVERING, batch_size=[None, 3, 1])
def test_against_the_dense_gradient(case: tuple[str, str, str], batch_size: int | None) -> None:
    value, gradient = loss_and_gradient(problem(*case, batch_size=batch_size))
    truth = oracle(*case)
    assert value == pytest.approx(truth.loss, rel=1e-12)
    torch.testing.assert_close(gradient, truth.gradient, rtol=1e-11, atol=1e-12)


@each(case=COVERING)
def test_against_an_ordinary_backward_pass(case: tuple[str, str, str]) -> None:
    """The loss as everyone writes it; mse is half of the sum over outputs, averaged over samples."""
    name, loss, reduction = case
    model, (x, y) = network(name), data(loss, 1 if name == "one output" else NUM_OUTPUTS)
    f = model(x)
    if loss == "mse":
        value = functional.mse_loss(f, y, reduction=reduction) / 2 * (f.shape[1] if reduction == "mean" else 1)
    else:
        value = functional.cross_entropy(f, y, reduction=reduction)
    value.backward()
    free = [p for p in model.parameters() if p.requires_grad]
    expected = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in free])
    found, gradient = loss_and_gradient(problem(name, loss, reduction))
    assert found == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-12)


def test_probabilities_as_targets() -> None:
    model, (x, y) = network("tanh"), data("cross_entropy")
    hard = loss_and_gradient(Problem(model, (x, y), "cross_entropy"))
    soft = loss_and_gradient(Problem(model, (x, functional.one_hot(y, 3).double()), "cross_entropy", batch_size=2))
    assert soft[0] == pytest.approx(hard[0], rel=1e-12)
    torch.testing.assert_close(soft[1], hard[1], rtol=1e-11, atol=1e-12)


def test_batches_are_added_in_double() -> None:
    point = problem("relu", dtype=torch.float32, batch_size=3)
    tiny = sum_over_data(point, lambda batch: torch.tensor([1.0 if batch.start == 0 else 2.0**-30]))
    assert tiny.item() == 1 + 2 * 2.0**-30
    assert loss_and_gradient(point)[1].dtype == torch.float32


def test_a_contribution_that_is_remembered_stays_as_it_is() -> None:
    for dtype in (torch.float32, torch.float64):
        parts = {0: torch.ones(2, dtype=dtype), 3: torch.ones(2, dtype=dtype), 6: torch.ones(2, dtype=dtype)}
        total = sum_over_data(problem("relu", batch_size=3), lambda batch, parts=parts: parts[batch.start])
        assert total.tolist() == [3.0, 3.0]
        assert all(part.tolist() == [1.0, 1.0] for part in parts.values())
