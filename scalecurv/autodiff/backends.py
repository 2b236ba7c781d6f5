"""Two backends of derivatives: torch.func, which takes blocks of vectors, and plain autograd, which takes any model.

Both store the graph of one pass, and each product is one more pull-back through it. Second derivatives and products
with J use reverse mode only: torch's forward mode has different rules in places (a padding row, no_grad), so that J by
forward mode and J' by reverse mode would not be transposes of each other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.func import grad, vjp, vmap

Scalar = Callable[[Tensor], Tensor]  # theta (P,) -> L
Outputs = Callable[[Tensor], Tensor]  # theta (P,) -> f (B, D)
Product = Callable[[Tensor], Tensor]  # V (n, k) -> A V (m, k)


@dataclass(frozen=True)
class Linearized:
    """The outputs f (B, D) at one theta, `push`: V (P, k) -> J V (B D, k), and `pull`: U (B D, k) -> J' U (P, k)."""

    f: Tensor
    push: Product
    pull: Product


class Backend(Protocol):
    """One way to differentiate; `name` is its name in the provenance of a record."""

    name: str

    def gradient(self, loss: Scalar, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return grad L (P,) and L."""

    def hessian(self, loss: Scalar, theta: Tensor) -> Product:
        """Return V -> H V for V of shape (P, k); the function keeps the graph of the gradient."""

    def linearized(self, outputs: Outputs, theta: Tensor) -> Linearized:
        """Return f and the products with J and J'; these keep the graph of the outputs."""


class TorchFunc:
    """The backend of torch.func: one vectorized pull-back for a whole block, a plain one for a single vector."""

    name = "torch.func"

    def gradient(self, loss: Scalar, theta: Tensor) -> tuple[Tensor, Tensor]:
        return AUTOGRAD.gradient(loss, theta)  # torch.func's first use loads all of torch.compile, 1.5 s

    def hessian(self, loss: Scalar, theta: Tensor) -> Product:
        """Return V -> H V as the pull-back of the gradient, since H = H' (Pearlmutter 1994 pushes forward instead)."""
        _, pull = vjp(grad(loss), theta)  # type: ignore[misc]
        return lambda V: _mapped(lambda v: pull(v)[0], V)

    def linearized(self, outputs: Outputs, theta: Tensor) -> Linearized:
        """Return f and the products; J v is the pull-back of u -> J'u, so that `push` is the transpose of `pull`."""
        f, pull = vjp(outputs, theta)  # type: ignore[misc]
        push: list[Callable[[Tensor], tuple[Tensor]]] = []  # made by the first product

        def pushed(V: Tensor) -> Tensor:
            if not push:
                push.append(vjp(lambda u: pull(u)[0], torch.ones_like(f))[1])
            return _mapped(lambda v: push[0](v)[0].flatten(), V)

        def pulled(U: Tensor) -> Tensor:
            return _mapped(lambda u: pull(u.reshape(f.shape))[0], U)

        return Linearized(f, pushed, pulled)


class Autograd:
    """The backend of torch.autograd, a vector at a time, for what torch.func refuses.

    Those are custom Functions, derivatives inside forward, and packed sequences.
    """

    name = "autograd"

    def gradient(self, loss: Scalar, theta: Tensor) -> tuple[Tensor, Tensor]:
        point = theta.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(point)
        return _pulled(value, point, None), value.detach()

    def hessian(self, loss: Scalar, theta: Tensor) -> Product:
        point = theta.detach().requires_grad_()
        with torch.enable_grad():
            slope = _pulled(loss(point), point, None, again=True)
        return _by_columns(lambda v: _pulled(slope, point, v), len(theta))

    def linearized(self, outputs: Outputs, theta: Tensor) -> Linearized:
        point = theta.detach().requires_grad_()
        with torch.enable_grad():
            f = outputs(point)
            seed = torch.ones_like(f, requires_grad=True)  # at 0 some second derivatives would be NaN
        size = f.numel()
        turned: list[Tensor] = []  # J'u as a function of u, made by the first product

        def push(v: Tensor) -> Tensor:
            if not turned:
                with torch.enable_grad():
                    turned.append(_pulled(f, point, seed, again=True))
            return _pulled(turned[0], seed, v).reshape(size)

        def pull(u: Tensor) -> Tensor:
            return _pulled(f, point, u.reshape(f.shape))

        return Linearized(f.detach(), _by_columns(push, size), _by_columns(pull, len(theta)))


TORCH_FUNC, AUTOGRAD = TorchFunc(), Autograd()


def _pulled(value: Tensor, point: Tensor, cotangent: Tensor | None, again: bool = False) -> Tensor:
    """Return the pull-back of `cotangent` from value to point, or 0 where value does not depend on point.

    The graph of `value` stays; with `again` the result has a graph of its own.
    """
    if not value.requires_grad:
        return torch.zeros_like(point)
    turned = value if cotangent is None else (value * cotangent).sum()  # torch imports sympy where it is given both
    (found,) = torch.autograd.grad(turned, point, retain_graph=True, create_graph=again, materialize_grads=True)
    return found


def _mapped(product: Product, V: Tensor) -> Tensor:
    """Return the product with each column of V, (m, k): vectorized, which for one vector would only cost time."""
    if V.shape[1] == 1:
        return product(V[:, 0])[:, None]
    return vmap(product, in_dims=1)(V).T  # out_dims=1 is refused where nothing depends on v


def _by_columns(product: Callable[[Tensor], Tensor], rows: int) -> Product:
    def block(V: Tensor) -> Tensor:
        out = V.new_empty(rows, V.shape[1])
        for j in range(V.shape[1]):
            out[:, j] = product(V[:, j].contiguous())
        return out

    return block


def nodes(value: Tensor) -> Iterator[Node]:
    """Yield every node in the graph of `value` once."""
    todo, seen = [value.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        todo += [parent for parent, _ in node.next_functions]


def stranger(value: Tensor) -> nn.Parameter | None:
    """Return a parameter that is itself a leaf of the graph of `value`, None where there is none.

    `value` is computed with theta in the place of every named parameter, so that theta does not reach such a leaf.
    """
    variables = (getattr(node, "variable", None) for node in nodes(value))
    return next((v for v in variables if isinstance(v, nn.Parameter)), None)
