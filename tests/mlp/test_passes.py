"""Products in closed form against torch.func: any depth, width, activation, loss, reduction, batches and block."""

from itertools import pairwise
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import grad, jacrev

from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.linalg.operator import LinearOperator
from scalecurv.mlp.closed_form import closed_form
from scalecurv.mlp.passes import opened
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.operators.products import loss_and_gradient
from scalecurv.problem import graphs
from scalecurv.problem.graphs import batch_loss, loss_of_outputs
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient as loss_and_gradient_by_graph

ACTIVATIONS = (
    *(nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.ReLU6, nn.Identity, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus),
    *(nn.ELU, nn.SELU, nn.CELU, nn.Mish, nn.Hardswish, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink),
    *(nn.Hardsigmoid, nn.Hardshrink, nn.RReLU),  # torch's own kernels of two of these have no second derivative
)
IN_PLACE = (nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.Mish, nn.Hardswish)


def fourth_power(f: Tensor, y: Tensor) -> Tensor:
    return ((f - y) ** 4).sum(1)


# by name, the targets that the loss takes: numbers, counts, labels of each output, or classes
LOSSES: tuple[tuple[Any, str], ...] = (
    ("mse", "numbers"),
    ("huber(delta=0.7)", "numbers"),
    ("smooth_l1(beta=0.5)", "numbers"),
    ("l1", "numbers"),
    ("poisson", "counts"),
    ("logistic", "labels"),
    ("logistic(pos_weight=[0.5, 2.0, 3.0])", "labels"),
    ("cross_entropy", "classes"),
    ("cross_entropy(weight=[1.0, 3.0, 0.5])", "classes"),
    ("cross_entropy(ignore_index=0)", "classes"),
    ("cross_entropy(label_smoothing=0.2)", "classes"),
    (nn.MultiMarginLoss(), "classes"),
    (nn.SoftMarginLoss(), "signs"),
    (fourth_power, "numbers"),
)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw a perceptron in float64 with three outputs, its data and its loss."""
    torch.manual_seed(draw(st.integers(0, 10**6)))
    hidden = draw(st.lists(st.integers(1, 5), max_size=3))
    widths = [draw(st.integers(1, 4)), *hidden, 3]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        kind = draw(st.sampled_from(ACTIVATIONS))
        activation = kind(inplace=True) if kind in IN_PLACE and draw(st.booleans()) else kind()
        layers += [nn.Linear(before, after, bias=draw(st.booleans())), activation]
    model, N = nn.Sequential(*layers[:-1]).double().eval(), draw(st.integers(2, 6))
    loss, kind = draw(st.sampled_from(LOSSES))
    y = {
        "numbers": torch.randn(N, 3, dtype=torch.float64),
        "counts": torch.randint(4, (N, 3)),
        "labels": torch.randint(2, (N, 3)).double(),
        "signs": 2.0 * torch.randint(2, (N, 3)).double() - 1,
        "classes": torch.randint(3, (N,)),
    }[kind]
    if kind == "classes":
        y[0] = 1  # where all are ignored nothing is left
    return Problem(
        model,
        (torch.randn(N, widths[0], dtype=torch.float64), y),
        loss,
        reduction=draw(st.sampled_from(["mean", "sum"])) if isinstance(loss, str) else None,
        batch_size=draw(st.sampled_from([None, 1, 2])),
        memory=draw(st.sampled_from([1, 20_000, 10**9])),
        weight_decay=draw(st.sampled_from([0.0, 0.3])),
    )


def alike(ours: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(ours, truth, rtol=0, atol=1e-12 * max(1.0, float(truth.norm())))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(problems())
def test_as_torch_func_has_it(problem: Problem) -> None:
    assert closed_form(problem) is not None
    whole, P, theta = problem.whole, problem.num_params, problem.theta
    f = problem.outputs(theta, whole.x)
    J = jacrev(lambda t: problem.outputs(t, whole.x).flatten())(theta)
    with twice_differentiable():  # torch's kernels of some losses have no second derivative
        M = jacrev(grad(loss_of_outputs(problem, whole)))(f.flatten())
    second = jacrev(grad(batch_loss(problem, whole)))(theta)
    chances = jacrev(lambda t: problem.outputs(t, whole.x).softmax(1).flatten())(theta)
    V, U = torch.randn(P, 5, dtype=torch.float64), torch.randn(len(J), 3, dtype=torch.float64)
    alike(HessianOperator(problem).matmat(V), second @ V + problem.weight_decay * V)
    alike(GaussNewtonOperator(problem).matmat(V), J.T @ (M @ (J @ V)) + problem.weight_decay * V)
    for operator, matrix in ((JacobianOperator(problem), J), (JacobianOperator(problem, prob=True), chances)):
        alike(operator.matmat(V), matrix @ V)
        alike(operator.rmatmat(U), matrix.T @ U)
    (loss, g), (value, slope) = loss_and_gradient(problem), loss_and_gradient_by_graph(problem)
    alike(g, slope)
    assert abs(loss - value) <= 1e-12 * max(1.0, abs(value))


def at_zero(activation: nn.Module, loss: Any = "cross_entropy") -> Problem:
    """Return a problem where each pre-activation of each sample is exactly 0, a kink of most activations."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 3)).double().eval()
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    return Problem(model, (torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % 3), loss)


def test_at_kinks_as_autograd_has_it() -> None:
    for kind in ACTIVATIONS:
        problem = at_zero(kind())
        assert closed_form(problem) is not None, kind
        truth = jacrev(grad(batch_loss(problem, problem.whole)))(problem.theta)
        alike(HessianOperator(problem).to_dense(), truth)
        alike(loss_and_gradient(problem)[1], grad(batch_loss(problem, problem.whole))(problem.theta))


def test_a_sure_softmax_in_single_precision() -> None:
    """p is within 1e-7 of 1 at every sample: p - p^2 in float32 would lose all digits of M."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[2].weight.mul_(0.1)
        model[2].bias.copy_(torch.tensor([16.0, 0.0, -1.0]))
    single = Problem(model, (torch.randn(8, 4), torch.zeros(8, dtype=torch.int64)))
    assert closed_form(single) is not None
    V = torch.randn(single.num_params, 5)
    truth = GaussNewtonOperator(single.astype(torch.float64)).matmat(V.double())
    error = float((GaussNewtonOperator(single).matmat(V) - truth).norm())
    assert error <= 1e-5 * float(truth.norm())
    truth = HessianOperator(single.astype(torch.float64)).matmat(V.double())
    ours, by_graph = HessianOperator(single).matmat(V), graphs.hessian_product(single, single.whole)(V)
    assert float((ours - truth).norm()) <= float((by_graph - truth).norm())  # both have the residual p - 1 of autograd


def test_a_block_has_the_columns_of_single_products() -> None:
    """A column is the same to rounding in a block of any width, and whatever the layout of the block in memory."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)).double()
    problem = Problem(model, (torch.randn(11, 7, dtype=torch.float64), torch.randint(3, (11,))))
    V = torch.randn(problem.num_params, 6, dtype=torch.float64)
    operators: list[LinearOperator] = [HessianOperator(problem), GaussNewtonOperator(problem)]
    for operator in operators:
        singly = torch.cat([operator.matmat(v[:, None]) for v in V.T], dim=1)
        alike(operator.matmat(V), singly)
        assert torch.equal(operator.matmat(V.T.contiguous().T), operator.matmat(V))
        assert torch.equal(operator.matmat(V), operator.matmat(V))
        assert operator.matmat(V[:, :0]).shape == (problem.num_params, 0)


def test_float32_does_not_decide_on_which_side_of_a_kink_a_neuron_is() -> None:
    """Each input is orthogonal to a weight vector up to rounding: single precision would guess half of the sides."""
    rng = torch.Generator().manual_seed(0)
    for phi in (nn.ReLU(), nn.LeakyReLU(), nn.Hardtanh(-0.0, 1.0)):
        model = nn.Sequential(nn.Linear(20, 30, bias=False), phi, nn.Linear(30, 8), phi, nn.Linear(8, 3))
        for parameter in model.parameters():
            parameter.data.normal_(generator=rng)
        x, w = torch.randn(600, 20, generator=rng), model[0].weight.detach()[torch.arange(600) % 30]
        x = x - w * ((x * w).sum(1) / (w * w).sum(1))[:, None]
        single = Problem(model, (x, torch.zeros(600, 3)), "mse")
        double = single.astype(torch.float64)
        mlp = closed_form(single)
        assert mlp is not None
        plain = nn.functional.linear(x, model[0].weight.detach()) > 0
        ours, theirs = (opened(point, mlp, point.whole) for point in (single, double))
        assert int((plain != (theirs.slopes[0] == 1)).sum()) > 50 or isinstance(phi, nn.Hardtanh)
        for l, slope in enumerate(theirs.slopes):
            assert torch.equal(ours.slopes[l].double(), slope.float().double())
        torch.testing.assert_close(ours.outputs.double(), theirs.outputs, rtol=1e-5, atol=1e-5)
