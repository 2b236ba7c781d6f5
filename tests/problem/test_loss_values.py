"""Every loss against torch's own function: value, slope, second derivative, and sums over any batches."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian
from torch.nn import functional

from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.problem.losses import loss_of
from tests.problem.loss_cases import Case, N, cases, drawn, normal, of_classes, of_entries

SPLITS = ([5], [1, 4], [2, 2, 1], [1, 1, 1, 1, 1])


def weight_of(case: Case, y: Tensor) -> float:
    """Return what the samples count together in the mean of the case, 1 where its loss is a sum."""
    return float(case.loss.weights(y).double().sum()) if case.criterion.reduction != "sum" else 1.0


def reference(case: Case, rows: Tensor) -> Tensor:
    """Return torch's function, with integers as floats where it takes no integers."""
    f = rows.reshape(case.f.shape)
    y = case.y.to(f.dtype) if case.loss.float_targets and case.y.shape == f.shape else case.y
    with twice_differentiable():
        return case.mean(f, y)


def test_value_slope_and_second_derivative_are_those_of_torch() -> None:
    for case in cases():
        loss, y = case.loss, case.loss.targets(case.y)
        y = y.double() if loss.float_targets else y
        scale = 1 / weight_of(case, y)

        def mine(rows: Tensor, loss=loss, y=y, scale=scale) -> Tensor:
            with twice_differentiable():
                return scale * loss.total(rows, y)

        def theirs(rows: Tensor, case=case) -> Tensor:
            return reference(case, rows)

        torch.testing.assert_close(mine(case.rows), theirs(case.rows), rtol=1e-12, atol=1e-12, msg=case.name)
        torch.testing.assert_close(grad(mine)(case.rows), grad(theirs)(case.rows), rtol=0, atol=1e-12, msg=case.name)
        H = _second(theirs, case.rows)
        torch.testing.assert_close(_second(mine, case.rows), H, rtol=0, atol=1e-11, msg=case.name)


def _second(function, rows: Tensor) -> Tensor:
    """Return the Hessian by two backward passes, which every kernel of torch has."""
    point = rows.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(point), point, create_graph=True)
    if not slope.requires_grad:
        return torch.zeros(rows.numel(), rows.numel(), dtype=rows.dtype)
    lines = [torch.autograd.grad(s, point, retain_graph=True, allow_unused=True)[0] for s in slope.reshape(-1).unbind()]
    return torch.stack([torch.zeros_like(rows) if line is None else line for line in lines]).flatten(1)


def test_bend_and_factor_are_the_second_derivative() -> None:
    """F F' = M, M v = bend(v), and samples do not mix."""
    for case in cases(of_classes, of_entries):
        loss, y = case.loss, case.loss.targets(case.y)
        y = y.double() if loss.float_targets else y
        D = case.rows.shape[1]
        assert loss.factor is not None, case.name
        assert loss.bend is not None, case.name
        root = loss.factor(case.rows, y)
        assert root.shape == (N, D, D), case.name
        M = root @ root.transpose(1, 2)
        truth = hessian(lambda rows, loss=loss, y=y, D=D: loss.total(rows.reshape(N, D), y))(case.rows.flatten())
        torch.testing.assert_close(torch.block_diag(*M), truth, rtol=0, atol=1e-12, msg=case.name)
        bent = torch.stack([loss.bend(case.rows, y, v.expand(N, D)) for v in torch.eye(D, dtype=torch.float64)], dim=2)
        torch.testing.assert_close(bent, M, rtol=0, atol=1e-12, msg=case.name)


def test_sums_over_batches_are_the_sum_over_the_data() -> None:
    """Neither the loss nor what counts in its mean depends on how the samples are split."""
    for case in cases():
        loss, y = case.loss, case.loss.targets(case.y)
        y = y.double() if loss.float_targets else y
        whole, weights = float(loss.total(case.rows, y)), loss.weights(y).double()
        assert weights.shape == (N,), case.name
        for split in SPLITS:
            parts = list(zip(case.rows.split(split), y.split(split), strict=True))
            assert sum(float(loss.total(f, part)) for f, part in parts) == pytest.approx(whole, rel=1e-12), case.name
            together = torch.cat([loss.weights(loss.targets(part)).double() for part in case.y.split(split)])
            assert torch.equal(together, weights), case.name


def test_products_in_single_precision_and_in_float64_agree() -> None:
    """What a module holds follows the dtype of the outputs."""
    for case in cases():
        loss, y = case.loss, case.loss.targets(case.y)
        pair = [
            loss.total(case.rows.to(dtype), y.to(dtype) if y.is_floating_point() or loss.float_targets else y)
            for dtype in (torch.float32, torch.float64)
        ]
        assert (pair[0].dtype, pair[1].dtype) == (torch.float32, torch.float64), case.name
        assert float(pair[0]) == pytest.approx(float(pair[1]), rel=1e-5, abs=1e-5), case.name


def test_log_probabilities_have_the_likelihood_of_their_classes() -> None:
    """The loss, its slope and its second derivative in the logits z of f = log softmax(z) are those of torch's nll."""
    z, y = normal(3, 4), drawn(3, 4, ignored=-100)
    loss = loss_of("nll").on((3, 4), y)
    assert loss.check is not None
    loss.check(z.log_softmax(1).reshape(N, -1))

    def mine(z: Tensor) -> Tensor:
        return loss.total(z.log_softmax(1).reshape(N, -1), y)

    def theirs(z: Tensor) -> Tensor:
        return functional.nll_loss(z.log_softmax(1), y, reduction="sum")

    torch.testing.assert_close(mine(z), theirs(z), rtol=1e-12, atol=0)
    torch.testing.assert_close(grad(mine)(z), grad(theirs)(z), rtol=0, atol=1e-12)
    torch.testing.assert_close(hessian(mine)(z), hessian(theirs)(z), rtol=0, atol=1e-12)


def test_log_probabilities_that_a_small_number_was_added_to() -> None:
    """The value is torch's for log(p + eps) too, whose probabilities sum to 1 + C eps."""
    z, y = normal(3, 4), drawn(3, 4, ignored=-100)
    f = (z.softmax(1) + 1e-3).log()
    for weight in (None, [1.0, 3.0, 0.5]):
        loss = loss_of("nll" if weight is None else f"nll(weight={weight})").on((3, 4), y)
        w = weight and torch.tensor(weight, dtype=torch.float64)
        assert loss.check is not None
        loss.check(f.reshape(N, -1))
        wanted = functional.nll_loss(f, y, w, reduction="sum")
        torch.testing.assert_close(loss.total(f.reshape(N, -1), y), wanted, rtol=1e-12, atol=0)


def test_the_second_probability_is_the_largest_over_what_counts() -> None:
    f, y = normal(4, 3), drawn(3, 4, ignored=-100)
    y[0] = -100
    second = loss_of("cross_entropy").on((4, 3), y).second
    assert second is not None
    p = f.softmax(2).sort(2).values[..., 1]
    torch.testing.assert_close(second(f.reshape(N, -1), y), p.where(y != -100, 0.0).amax(1))
    assert second(f.reshape(N, -1), y)[0] == 0
    labels = drawn(2, 3).double()
    second = loss_of("logistic(weight=[1, 0, 1])").on((3,), labels).second
    assert second is not None
    torch.testing.assert_close(second(f[:, 0], labels), (-f[:, 0, ::2].abs()).sigmoid().amax(1))


def test_nothing_cancels_where_a_class_is_all_but_certain() -> None:
    """p (1 - p) of the class that is sure is the sum over the others, to the last digits, whatever the weights."""
    f, y = torch.tensor([[60.0, 0.0, 5.0]], dtype=torch.float64), torch.tensor([0])
    p, v = functional.softmax(f, 1)[0], torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    for text, mass in (("cross_entropy", 1.0), ("cross_entropy(weight=[2, 3, 4], label_smoothing=0.3)", 2 * 0.7 + 0.9)):
        loss = loss_of(text).on((3,), y)
        assert loss.bend is not None
        assert float(loss.bend(f, y, v)[0, 0]) == pytest.approx(mass * float(p[1] + p[2]), rel=1e-12, abs=0)
