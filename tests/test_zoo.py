"""H, G, J and J' of every network of the zoo, against differences of torch's gradient and rows of its Jacobian."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import pytest
import torch
from torch import Tensor, nn

from scalecurv import Problem
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from tests.loops import each
from tests.zoo import FIXED, REFUSED, SERVED

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # torch maps some operations one by one
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support"),
]
STEP = 2.5e-5  # small, so that no kink lies between theta +- h v
DIRECTIONS = 3
OWN = 1e-7  # torch rounds the slope of hardsigmoid to float32, also in float64; ours is 1/6


@dataclass
class Animal:
    """One network with random targets, and what plain autograd says of it, without any of our code."""

    model: nn.Module
    x: Tensor
    y: Tensor
    fixed: int = 0  # the first coordinates, whose gradient is zero by design

    @cached_property
    def weights(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    @cached_property
    def problem(self) -> Problem:
        return Problem(self.model, (self.x, self.y), loss="mse")

    @cached_property
    def eye(self) -> Tensor:
        return torch.eye(self.problem.num_params, dtype=self.problem.dtype)

    @cached_property
    def hessian(self) -> Tensor:
        return HessianOperator(self.problem) @ self.eye

    @cached_property
    def jacobian(self) -> Tensor:
        f = self.outputs().reshape(-1)
        return torch.stack([self.flat(f_i) for f_i in f])

    def outputs(self) -> Tensor:
        return self.model(self.x.clone()).reshape(len(self.x), -1)

    def flat(self, value: Tensor) -> Tensor:
        """d value / d weights."""
        grads = torch.autograd.grad(value, self.weights, retain_graph=True, materialize_grads=True, allow_unused=True)
        return torch.cat([g.to_dense().reshape(-1) for g in grads])

    def gradient(self, v: Tensor) -> Tensor:
        """The gradient of the loss at the weights moved by v."""
        moves = [
            part.view_as(w) for part, w in zip(v.split([w.numel() for w in self.weights]), self.weights, strict=True)
        ]
        kept = [w.detach().clone() for w in self.weights]
        with torch.no_grad():
            torch._foreach_add_(self.weights, moves)
        g = self.flat((self.outputs() - self.y).square().sum() / (2 * len(self.x)))
        with torch.no_grad():
            torch._foreach_copy_(self.weights, kept)
        return g

    def differences(self, V: Tensor, h: float) -> Tensor:
        return torch.stack([(self.gradient(h * v) - self.gradient(-h * v)) / (2 * h) for v in V.T], 1)


@cache
def animal(name: str) -> Animal:
    model, x, width = SERVED[name]()
    y = torch.randn(len(x), width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Animal(model, x, y, FIXED.get(name, 0))


def against(a: Tensor, b: Tensor) -> float:
    """The largest difference, in parts of the largest entry."""
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))


def failures(check: Callable[[Animal], Iterator[tuple[str, float, float]]]) -> list[str]:
    """Every check of every animal that is not below its bound, by name."""
    found = []
    for name in SERVED:
        try:
            found += [f"{name}: {what} {error:.1e}" for what, error, bound in check(animal(name)) if not error < bound]
        except Exception as error:  # whatever a module may raise belongs into the list
            found.append(f"{name}: {type(error).__name__} {str(error).splitlines()[0]}")
    return found


def test_the_hessian_is_symmetric_and_the_derivative_of_the_gradient() -> None:
    def check(a: Animal) -> Iterator[tuple[str, float, float]]:
        H = a.hessian
        V = torch.randn(len(H), DIRECTIONS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        V[: a.fixed] = 0
        V = V / V.norm(dim=0)
        yield "asymmetry", against(H, H.T), 1e-10
        yield "H against differences", against(a.differences(V, STEP), H @ V), 1e-5

    assert not failures(check)


def test_the_gauss_newton_matrix_is_that_of_the_jacobian() -> None:
    def check(a: Animal) -> Iterator[tuple[str, float, float]]:
        G, J = GaussNewtonOperator(a.problem) @ a.eye, a.jacobian
        yield "G", against(G, J.T @ J / len(a.x)), OWN
        yield "asymmetry of G", against(G, G.T), 1e-10

    assert not failures(check)


def test_the_jacobian_and_its_transpose_have_the_rows_of_autograd() -> None:
    def check(a: Animal) -> Iterator[tuple[str, float, float]]:
        operator, J = JacobianOperator(a.problem), a.jacobian
        pushed, pulled = operator.matmat(a.eye), operator.rmatmat(torch.eye(len(J), dtype=torch.float64))
        yield "J", against(pushed, J), OWN
        yield "J'", against(pulled, J.T), OWN
        yield "J - J''", against(pushed, pulled.T), 1e-11

    assert not failures(check)


@each(name=REFUSED)
def test_what_cannot_be_served_is_refused_in_one_line(name: str) -> None:
    model, x, width = REFUSED[name][0]()
    refused = Animal(model, x, torch.ones(len(x), width))
    with pytest.raises((Misuse, CheckpointError)) as refusal:
        _ = refused.hessian
    assert str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_zoo_is_large() -> None:
    assert len(SERVED) >= 110
