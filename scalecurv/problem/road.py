"""The derivatives of one mini-batch near theta, by autograd or by passes of another kind, as the checks take them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalecurv.autodiff.backends import Linearized
from scalecurv.problem.graphs import backend_of, hessian_product, linearized
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch


class Derivatives(Protocol):
    """A pass through the model on a mini-batch of B samples, and what is derived from it."""

    @property
    def outputs(self) -> Tensor:
        """f (B, D)."""

    def gradient(self) -> Tensor:
        """Return the gradient of the batch's loss, followed by that loss, (P + 1,)."""
        ...

    def hessian(self, V: Tensor, /) -> Tensor:
        """Return H V, (P, k)."""
        ...

    def push(self, V: Tensor, /) -> Tensor:
        """Return J V, (B D, k)."""
        ...

    def pull(self, U: Tensor, /) -> Tensor:
        """Return J' U, (P, k)."""
        ...


Opened = Callable[[Problem, Batch], Derivatives]
Point = tuple[Tensor, Tensor, Tensor]  # L, g (P,) and f (B D,)


@dataclass(frozen=True)
class Road:
    """The derivatives of the loss of `batch`, from the passes that `opened` returns, or autograd's where it is None."""

    problem: Problem
    batch: Batch
    opened: Opened | None

    def hessian(self, V: Tensor) -> Tensor:
        """Return H V, (P, k)."""
        if self.opened is None:
            return hessian_product(self.problem, self.batch)(V)
        return self.opened(self.problem, self.batch).hessian(V)

    def linearized(self) -> Linearized:
        """Return f (B, D) and the products with J and J'."""
        if self.opened is None:
            return linearized(self.problem, self.batch)
        made = self.opened(self.problem, self.batch)
        return Linearized(made.outputs, made.push, made.pull)

    def slope(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Return c dloss/df, of the shape of f, and the loss."""
        problem, y = self.problem, self.batch.y
        return backend_of(problem).gradient(lambda f: problem.scale * problem.loss.total(f, y), f)

    def at(self, theta: Tensor) -> Point:
        """Return L, g (P,) and f (B D,) at theta, by one pass forward and one back."""
        problem = self.problem
        if self.opened is not None:
            moved = copy.copy(problem)
            moved.theta, moved.cache = theta, {}
            made = self.opened(moved, self.batch)
            found = made.gradient()
            return found[-1], found[:-1], made.outputs.flatten()
        with quoted(problem.model, "the gradient near these weights"):
            side = backend_of(problem).linearized(lambda at: problem.outputs(at, self.batch.x), theta)
            slope, loss = self.slope(side.f)
            return loss, side.pull(slope.reshape(-1, 1))[:, 0], side.f.flatten()
