"""Losses of the user's own: one number a sample, what torch has by other names, and functions that hide the weights."""

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian
from torch.nn import functional

from scalecurv.errors import Misuse
from scalecurv.measures import Curvature, GaussNewton, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, network

WEIGHTS = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)


def half_square(f: Tensor, y: Tensor) -> Tensor:
    return ((f - y) ** 2).sum(1) / 2


def weighted(f: Tensor, y: Tensor) -> Tensor:
    """Class weights and label smoothing."""
    return functional.cross_entropy(f, y, weight=WEIGHTS.to(f.dtype), label_smoothing=0.1, reduction="none")


def huber(f: Tensor, y: Tensor) -> Tensor:
    return functional.huber_loss(f, y, reduction="none", delta=0.7).sum(1)


def by_token(f: Tensor, y: Tensor) -> Tensor:
    """Targets of several axes: three choices for each of two tokens, from six outputs."""
    return functional.cross_entropy(f.view(-1, 3, 2), y, reduction="none").sum(1)


@each(batch_size=[None, 3])
def test_what_is_known_by_name_is_the_same_by_function(batch_size: int | None) -> None:
    model, points = network("relu"), data("mse")
    mine, named = (Problem(model, points, loss, batch_size=batch_size) for loss in (half_square, "mse"))
    assert mine.loss.name == "half_square"
    assert loss_and_gradient(mine)[0] == pytest.approx(loss_and_gradient(named)[0], rel=1e-12)
    eye = torch.eye(mine.num_params, dtype=torch.float64)
    for operator in (HessianOperator, GaussNewtonOperator):
        torch.testing.assert_close(operator(mine) @ eye, operator(named) @ eye, rtol=0, atol=1e-12)
    exact = Moments().compute(Evaluation(named)).estimates["trace"].value
    found = Moments().compute(Evaluation(mine)).estimates["trace"]  # nothing is known of it: the generic road
    assert abs(found.value - exact) <= 2.5 * found.halfwidth
    share = GaussNewton(rtol=0.05).compute(Evaluation(mine)).estimates["residual_share"]
    known = GaussNewton(rtol=0.05).compute(Evaluation(named)).estimates["residual_share"].value
    assert abs(share.value - known) <= 2.5 * share.halfwidth
    assert str(Curvature().compute(Evaluation(mine)).estimates["chain_1"].status) == "not_applicable"


@pytest.mark.parametrize(("loss", "kind"), [(weighted, "cross_entropy"), (huber, "mse")])
def test_against_autograd(loss: Callable[[Tensor, Tensor], Tensor], kind: str) -> None:
    model, (x, y) = network("tanh"), data(kind)
    at = Problem(model, (x, y), loss, batch_size=3)

    def whole(theta: Tensor) -> Tensor:
        return loss(functional_call(model, at.space.unflatten(theta), (x,)), y).mean()

    value, gradient = loss_and_gradient(at)
    assert value == pytest.approx(float(whole(at.theta)), rel=1e-12)
    torch.testing.assert_close(gradient, grad(whole)(at.theta), rtol=0, atol=1e-12)
    H = HessianOperator(at) @ torch.eye(at.num_params, dtype=torch.float64)
    torch.testing.assert_close(H, hessian(whole)(at.theta), rtol=0, atol=1e-12)


def test_a_mean_over_weighted_samples_is_not_a_weighted_mean() -> None:
    """torch divides by the weights of the batch, reduction="mean" by the samples: the user sees which."""
    model, (x, y) = network("tanh"), data("cross_entropy")
    at = Problem(model, (x, y), weighted)
    weighed = functional.cross_entropy(model(x).detach(), y, weight=WEIGHTS, label_smoothing=0.1)
    assert loss_and_gradient(at)[0] * len(x) / float(WEIGHTS[y].sum()) == pytest.approx(float(weighed), rel=1e-12)


def test_targets_of_several_axes_are_taken_as_they_are() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 6)).double()
    x, y = data("mse")[0], torch.randint(3, (7, 2), generator=torch.Generator().manual_seed(0))
    at = Problem(model, (x, y), by_token, batch_size=2)
    assert at.y.dtype == torch.int64
    f = model(x).detach().view(-1, 3, 2)
    wanted = sum(functional.cross_entropy(f[..., t], y[:, t]) for t in range(2))
    assert loss_and_gradient(at)[0] == pytest.approx(float(wanted), rel=1e-12)


def mean(f: Tensor, y: Tensor) -> Tensor:
    return half_square(f, y).mean()


def number(f: Tensor, y: Tensor) -> float:
    return 1.0


@pytest.mark.parametrize(("loss", "what"), [(mean, "shape ()"), (number, "float")])
def test_what_is_not_one_number_a_sample(loss: Callable[[Tensor, Tensor], Tensor], what: str) -> None:
    with pytest.raises(Misuse) as caught:
        Problem(network("relu"), data("mse"), loss)
    assert f"loss {loss.__name__} returned " in str(caught.value)
    assert f"{what} for 4 sample(s); return one number a sample, shape (B,): reduction=" in str(caught.value)


class OfOne(nn.Module):
    """A module that takes no targets."""

    def forward(self, f: Tensor) -> Tensor:
        return f.square()


def test_what_the_function_raises_is_quoted_with_what_it_was_given() -> None:
    with pytest.raises(Misuse) as caught:
        Problem(network("relu"), data("mse"), partial(functional.cross_entropy, weight=torch.ones(2)))
    line = str(caught.value)
    assert line.startswith("loss partial raised RuntimeError: ")
    assert line.endswith(
        "; it is given outputs of shape (4, 3), torch.float64, and targets of shape (4, 3), torch.float64; make it "
        "take these"
    )


@pytest.mark.parametrize(
    ("loss", "called", "names"),
    [
        (lambda f: f.square(), "<lambda>", "f"),
        (partial(functional.gaussian_nll_loss), "partial", "input, target, var, full, eps, reduction"),
        (OfOne(), "OfOne", "f"),
    ],
)
def test_other_arguments_than_outputs_and_targets(loss: Callable[..., Tensor], called: str, names: str) -> None:
    line = f"loss {called} takes ({names}), and a loss is given (f, y), the outputs and the targets of a batch"
    with pytest.raises(Misuse, match=f"^{re.escape(line)}: write a function of "):
        Problem(network("relu"), data("mse"), loss)


def test_several_numbers_a_sample_are_summed() -> None:
    wanted = loss_and_gradient(Problem(network("relu"), data("mse"), half_square))[0]
    for loss in (lambda f, y: half_square(f, y)[:, None], lambda f, y: (f - y) ** 2 / 2):
        assert loss_and_gradient(Problem(network("relu"), data("mse"), loss))[0] == pytest.approx(wanted, rel=1e-12)


def test_rows_that_meet_every_other_row_are_told() -> None:
    """f (B, 1) against y (B,) gives (B, B): a loss of each sample and all others."""
    x, y = data("mse", 1)
    with pytest.raises(Misuse, match="the loss of a sample depends on the rest of its batch"):
        preflight(Problem(network("one output"), (x, y[:, 0]), lambda f, y: (f - y) ** 2))


def among_themselves(f: Tensor, y: Tensor) -> Tensor:
    """Each sample against the mean of its batch."""
    return ((f - f.mean(0)) ** 2).sum(1)


def test_a_loss_that_compares_samples_is_no_sum_over_them() -> None:
    preflight(Problem(network("relu"), data("mse"), half_square))
    with pytest.raises(Misuse) as caught:
        preflight(Problem(network("relu"), data("mse"), among_themselves))
    said = str(caught.value)
    assert said.startswith("loss among_themselves changes by ")
    assert said.endswith(
        " when 7 samples are evaluated one by one: the loss of a sample depends on the rest of its batch; return what "
        "each sample costs by itself"
    )


def single(f: Tensor, y: Tensor) -> Tensor:
    """Made for float32 alone."""
    return functional.cross_entropy(f, y, weight=torch.ones(3), reduction="none")


def of_many(f: Tensor, y: Tensor) -> Tensor:
    """Right for as few samples as are looked at first."""
    if len(f) > 4:
        raise ZeroDivisionError("a class that was not there before")
    return half_square(f, y)


def test_a_loss_must_do_in_float64_too() -> None:
    with pytest.raises(Misuse, match=r"^loss single raised RuntimeError: .*make constants like f, by f.new_tensor"):
        Problem(network("relu").float(), data("cross_entropy"), single, dtype=torch.float32)
    with pytest.raises(Misuse, match=r"^loss of_many raised ZeroDivisionError: a class that was not there before; "):
        loss_and_gradient(Problem(network("relu"), data("mse"), of_many))


def test_memory_that_runs_out_is_no_fault_of_the_loss() -> None:
    def hungry(f: Tensor, y: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Problem(network("relu"), data("mse"), hungry)
