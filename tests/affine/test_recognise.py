"""The tensors in which the outputs are affine: the expected ones of every network, and never one that is not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv import Problem, trace
from scalecurv.affine.exact_zero import without_curvature
from scalecurv.affine.recognise import affine_tensors
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from tests.affine.nets import MAKERS, net
from tests.affine.unusual import Alone

# not called affine, though no second derivative at these samples says that they are not
HELD_BACK = {
    "attention to one token": {
        f"{name}.{part}" for name in ("attend.q", "attend.k", "embed") for part in ("weight", "bias")
    },
    "rare branch": {"first.weight", "first.bias"},
    "rare path": {"first.weight", "first.bias", "head.weight", "head.bias"},
    "rare expert": {"first.weight", "first.bias", "head.weight", "head.bias"},
    "straight through": {"head.weight", "head.bias"},
}


def bends(problem: Problem, seed: int = 3) -> set[str]:
    """Return the names of the tensors W in which some output has a second derivative, by rows of d^2 (c.f) / dW^2."""
    rng = torch.Generator().manual_seed(seed)
    theta = problem.theta.detach().requires_grad_()
    f = problem.outputs(theta, problem.x)
    c = torch.randn(f.shape, generator=rng, dtype=f.dtype)
    if not f.requires_grad:
        return set()
    (slope,) = torch.autograd.grad((c * f).sum(), theta, create_graph=True)
    if not slope.requires_grad:
        return set()
    found = set()
    for name, part in problem.space.slices.items():
        places, kept = range(part.start, part.stop), {"retain_graph": True, "allow_unused": True}
        rows = (torch.autograd.grad(slope[i], theta, **kept)[0] for i in places)
        if any(row is not None and bool(row[part].any()) for row in rows):
            found.add(name)
    return found


def graph_of(problem: Problem) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the outputs for the first samples, and the parameters that they are a graph of."""
    leaves = {name: p.detach().requires_grad_() for name, p in problem.model.named_parameters()}
    return torch.func.functional_call(problem.model, leaves, (problem.sample.clone(),)), leaves


def test_the_expected_tensors_and_no_others_are_found() -> None:
    wrong = {name: affine_tensors(net(name).problem()) ^ net(name).affine for name in MAKERS}
    assert {name: sorted(names) for name, names in wrong.items() if names} == {}


def test_outputs_bend_in_every_other_tensor_and_in_none_of_those() -> None:
    for name in MAKERS:
        problem = net(name).problem()
        others = problem.space.shapes.keys() - affine_tensors(problem) - HELD_BACK.get(name, set())
        assert bends(problem) == others, name


def trained(name: str, loss: str, steps: int = 10, rate: float = 0.1) -> Problem:
    """Return the problem of a network after some steps of gradient descent."""
    at = net(name)
    problem, free = at.problem(loss), [p for p in at.model.parameters() if p.requires_grad]
    theta = problem.theta.detach()
    for _ in range(steps):
        theta.requires_grad_()
        value = problem.scale * problem.loss.total(problem.outputs(theta, problem.x), problem.y)
        theta = theta.detach() - rate * torch.autograd.grad(value, theta)[0]
    nn.utils.vector_to_parameters(theta, free)
    return at.problem(loss)


def test_blocks_of_affine_tensors_are_those_of_gauss_newton() -> None:
    for i, name in enumerate(MAKERS):
        affine, losses = sorted(net(name).affine), ("mse", "cross_entropy")
        for problem in (net(name).problem(losses[i % 2]), trained(name, losses[1 - i % 2])):
            assert sorted(affine_tensors(problem)) == affine, name
            parts = [problem.space.slices[tensor] for tensor in affine]
            V = torch.zeros(problem.num_params, len(parts), dtype=torch.float64)
            for j, part in enumerate(parts):
                V[part, j] = torch.linspace(-1, 1, part.stop - part.start, dtype=torch.float64).sin() + 0.1
            H, G = (operator(problem) @ V if affine else V for operator in (HessianOperator, GaussNewtonOperator))
            for j, part in enumerate(parts):
                assert (H[part, j] - G[part, j]).norm() <= 1e-12 * G.norm(), (name, affine[j])


def test_single_precision_and_a_part_of_the_parameters_change_nothing() -> None:
    for name in ("resnet batch norm", "resnet group norm", "vit", "attention", "tied tokens", "rnn"):
        problem = net(name).problem()
        assert affine_tensors(problem.astype(torch.float32)) == affine_tensors(problem)
        part = problem.restricted("weight")
        assert affine_tensors(part) == affine_tensors(problem) & part.space.shapes.keys()


def test_neither_test_alone_would_do() -> None:
    for name in ("rare branch", "rare path", "rare expert", "attention to one token"):
        f, leaves = graph_of(net(name).problem())
        assert without_curvature(f, leaves, list(leaves)) > affine_tensors(net(name).problem())
    f, leaves = graph_of(net("straight through").problem())  # where the operations that are seen are all linear
    assert without_curvature(f, leaves, list(leaves)) == {"head.weight", "head.bias"}


class Reader(nn.Module):
    """A layer and a head, between which `middle(x, h)` stands."""

    def __init__(self, middle: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.first, self.head, self.middle = nn.Linear(4, 4), nn.Linear(4, 2), middle

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(x, self.first(x)))


def branch(rare: bool, h: Tensor) -> Tensor:
    return h.tanh() if rare else h.relu()


def replaced(x: Tensor, h: Tensor) -> Tensor:
    """Put other values under an array, behind the back of autograd."""
    h = h * 1
    h.data = h.detach().sign()
    return torch.where(x > 9.0, h.tanh(), h)


BRANCHES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "item": lambda x, h: branch(x.max().item() > 9.0, h),
    "bool": lambda x, h: branch(bool((x > 9.0).any()), h),
    "of parameters": lambda x, h: branch(float(h.detach().max()) > 99.0, h),
    "equal": lambda x, h: branch(torch.equal(x, x + 1), h),
    "tolist": lambda x, h: branch(max(x[0].tolist()) > 9.0, h),
    "numpy": lambda x, h: branch(x.numpy().max() > 9.0, h),
    "chosen rows": lambda x, h: branch(len(x[x > 9.0]) > 0, h),
    "nonzero": lambda x, h: branch(len((x > 9.0).nonzero()) > 0, h),
    "unique": lambda x, h: branch(len(x.round().unique()) > 999, h),
    "data": replaced,
}


def test_a_path_that_values_choose_is_not_trusted() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for name, middle in BRANCHES.items():
        problem = Problem(Reader(middle).double(), (x, torch.zeros(6, 2)), "mse")
        assert affine_tensors(problem) == frozenset(), name
    fine: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "whole numbers": lambda x, h: h[torch.arange(len(x) - 1, -1, -1)].relu(),
        "masks": lambda x, h: h.masked_fill(x > 1.0, 0.0) * F.one_hot(x[:, 0].long().clamp(0, 3), 4),
        "mapped": lambda x, h: torch.func.vmap(lambda row: row.relu())(h),
        "constants": lambda x, h: branch(bool((torch.ones(3) > 9.0).any()), h),
    }
    for name, middle in fine.items():
        problem = Problem(Reader(middle).double(), (x, torch.zeros(6, 2)), "mse")
        assert affine_tensors(problem) == problem.space.shapes.keys(), name


def test_a_hook_that_bends_the_derivative_is_found() -> None:
    def hooked(x: Tensor, h: Tensor) -> Tensor:
        out = h.relu()
        if out.requires_grad:
            out.register_hook(lambda cotangent: cotangent * h)
        return out

    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    problem = Problem(Reader(hooked).double(), (x, torch.zeros(6, 2)), "mse")
    assert affine_tensors(problem) == {"head.weight", "head.bias"}  # every operation of the forward pass is linear


def test_derivatives_inside_forward_and_compiled_functions_are_not_trusted() -> None:
    def slope(x: Tensor, h: Tensor) -> Tensor:
        with torch.enable_grad():
            h = h if h.requires_grad else h.detach().requires_grad_()
            return h + torch.autograd.grad(h.relu().square().sum(), h, create_graph=True)[0]

    scripted = torch.jit.script(_scripted)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for middle in (slope, lambda x, h: scripted(h)):
        problem = Problem(Reader(middle).double(), (x, torch.zeros(6, 2)), "mse")
        assert affine_tensors(problem) <= {"head.weight", "head.bias"}


def test_a_model_that_refuses_to_be_followed_has_none() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    problem = Problem(Alone().double(), (x.double(), torch.zeros(6, 3)), "mse")
    assert affine_tensors(problem) == frozenset()
    assert trace(problem).status == "exact"  # H written out


def _scripted(h: Tensor) -> Tensor:
    return h.tanh() * 2 + h.relu()


def test_the_answer_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = net("cnn").problem()
    first = affine_tensors(problem)
    monkeypatch.setattr("scalecurv.affine.recognise.without_curvature", None)
    assert affine_tensors(problem) is first
