"""Two backends of the same derivatives: equal to the matrices written out, chosen by a trial, said where it matters."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from scalecurv import Problem, trace
from scalecurv.analysis import Identity, Request, records_of
from scalecurv.autodiff.backends import AUTOGRAD, TORCH_FUNC
from scalecurv.measures import Gradient, Moments
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.graphs import GRAPH, SHARE, backend_of, hessian_product, linearized
from scalecurv.problem.risk import loss_and_gradient
from tests.dense import dense_at
from tests.loops import each
from tests.networks import NETWORKS, oracle, problem


class Sine(torch.autograd.Function):
    """Differentiable twice, without the second method that torch.func asks for."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
        return cotangent * torch.cos(*ctx.saved_tensors)


class Physics(nn.Module):
    """u'' + u by derivatives taken inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = self.net(x)
            slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
            return torch.autograd.grad(slope.sum(), x, create_graph=True)[0] + u


class By(nn.Module):
    def __init__(self, act, width: int = 4):  # type: ignore[no-untyped-def]
        super().__init__()
        self.first, self.act, self.head = nn.Linear(3, width), act, nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.first(x)))


def at(model: nn.Module, loss: str = "cross_entropy", **options) -> Problem:  # type: ignore[no-untyped-def]
    rng = torch.Generator().manual_seed(0)
    width = 1 if isinstance(model, Physics) else 3
    x = torch.randn(9, width, generator=rng, dtype=torch.float64)
    y = torch.randn(9, 1, generator=rng, dtype=torch.float64) if loss == "mse" else torch.arange(9) % 2
    return Problem(model.double().eval(), (x, y), loss, **options)


def written_out(point: Problem) -> list[tuple[Tensor, Tensor]]:
    """Gradient, H, G and J of a model that torch.func takes, each beside its oracle."""
    truth, eye = dense_at(point), torch.eye(point.num_params)
    J = JacobianOperator(point)
    return [
        (loss_and_gradient(point)[1], truth.gradient),
        (HessianOperator(point).matmat(eye), truth.hessian),
        (GaussNewtonOperator(point).matmat(eye), truth.gauss_newton),
        (J.matmat(eye), truth.jacobian),
        (J.rmatmat(torch.eye(J.shape[0])).T, truth.jacobian),
    ]


@each(backend=[TORCH_FUNC, AUTOGRAD])
def test_both_backends_give_the_matrices_written_out(backend) -> None:  # type: ignore[no-untyped-def]
    rng = torch.Generator().manual_seed(0)
    for name in NETWORKS:
        truth = oracle(name)
        V = torch.randn(len(truth.gradient), 3, generator=rng, dtype=torch.float64)
        for options in ({}, {"batch_size": 3}):
            point = problem(name, **options)
            point.backend = backend
            for kind, matrix in (
                (HessianOperator, truth.hessian),
                (GaussNewtonOperator, truth.gauss_newton),
                (JacobianOperator, truth.jacobian),
            ):
                found, expected = kind(point).matmat(V), matrix @ V
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * (1 + float(expected.norm())))


def test_what_torch_func_refuses_goes_by_autograd_and_equals_the_same_in_plain_operations() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = By(Sine.apply)
    plain = By(torch.sin)
    plain.load_state_dict(own.state_dict())
    refused, taken = at(own), at(plain)
    assert backend_of(refused) is AUTOGRAD
    assert backend_of(taken) is TORCH_FUNC
    eye = torch.eye(refused.num_params)
    for kind in (HessianOperator, GaussNewtonOperator, JacobianOperator):
        torch.testing.assert_close(kind(refused).matmat(eye), kind(taken).matmat(eye), rtol=1e-12, atol=1e-14)
    for found, expected in written_out(taken):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_derivatives_inside_forward() -> None:
    """Against rows of autograd's own gradient."""
    point = at(Physics(), "mse")
    assert backend_of(point) is AUTOGRAD
    weights = list(point.model.parameters())
    f = point.model(point.x)
    loss = ((f - point.y) ** 2).sum() / 18
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, create_graph=True)])
    rows = [torch.autograd.grad(s, weights, retain_graph=True, materialize_grads=True) for s in slope]
    truth = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    found = HessianOperator(point).matmat(torch.eye(point.num_params))
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-13)
    assert trace(point).value == pytest.approx(float(truth.trace()), rel=1e-12)


def test_recomputing_is_left_out() -> None:
    for reentrant in (True, False):
        model = By(lambda h, reentrant=reentrant: checkpoint(torch.tanh, h, use_reentrant=reentrant))
        plain = By(torch.tanh)
        plain.load_state_dict(model.state_dict())
        eye = torch.eye(at(plain).num_params)
        found, truth = (HessianOperator(at(m)).matmat(eye) for m in (model, plain))
        torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-14)


def test_graphs_are_kept_as_far_as_their_share_goes_and_change_nothing() -> None:
    passes = []

    def tanh(h: Tensor) -> Tensor:
        passes.append(len(h))
        return torch.tanh(h)

    V = torch.eye(26)[:, :2]
    for backend in (TORCH_FUNC, AUTOGRAD):
        size = 8 * (GRAPH * at(By(tanh)).footprint.activations * 5 + 2 * 26)  # the bytes of a graph of 5 samples
        for options, again in (
            ({}, set()),
            ({"batch_size": 5}, set()),
            ({"batch_size": 5, "memory": SHARE * size}, {4}),
            ({"batch_size": 5, "memory": SHARE * size - 1}, {5}),  # that of the last 4 samples still fits
            ({"memory": 1}, {1}),
        ):
            point = at(By(tanh), **options)
            point.backend = backend
            H = HessianOperator(point)
            first = H.matmat(V)
            passes.clear()
            assert torch.equal(HessianOperator(point).matmat(V), first)
            assert set(passes) == again


def test_the_graph_of_all_samples_serves_no_other_batch() -> None:
    point = at(By(torch.tanh))
    V = torch.eye(point.num_params, dtype=torch.float64)[:, :2]
    whole = hessian_product(point, point.whole)(V)
    pieces = [hessian_product(point, piece)(V) for piece in point.whole.pieces(3)]
    torch.testing.assert_close(sum(pieces), whole, rtol=0, atol=1e-12)
    J = torch.cat([linearized(point, piece).push(V) for piece in point.whole.pieces(3)])
    torch.testing.assert_close(J, linearized(point, point.whole).push(V), rtol=0, atol=1e-12)
    first = next(point.whole.pieces(3))  # after the graph of all samples is stored
    torch.testing.assert_close(linearized(point, first).push(V), J[: 3 * point.num_outputs], rtol=0, atol=1e-12)


def test_rows_say_by_which_backend() -> None:
    measures = (Gradient(), Moments())
    for act, said in ((Sine.apply, True), (torch.sin, False)):
        records, _ = records_of(at(By(act)), Request(measures), Identity("f", "t", "float64"))
        for record in records:
            products = [e for e in record.estimates.values() if e.num_matvecs]
            assert products
            assert all(e.method.startswith("by plain autograd: ") is said for e in products)
