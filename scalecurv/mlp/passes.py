"""One pass through a perceptron on a mini-batch, and the products with H, G and J that share it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import vjp

from scalecurv.autodiff.backends import Product
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.mlp.layers import residuals
from scalecurv.problem.graphs import loss_bend
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch


@dataclass(frozen=True, eq=False)
class Pass:
    """The values that a product needs again, layer by layer l = 1 .. L, for a mini-batch of B samples.

    With z_l = W_l a_(l-1) + b_l and a_l = phi_l(z_l), `inputs[l-1]` is a_(l-1) (B, n_(l-1)); `slopes[l-1]` is phi'(z_l)
    and `bends[l-1]` phi''(z_l), None where it is 0 everywhere, both (B, n_l) for l < L. `outputs` f is z_L (B, D).

    Blocks of k vectors are held as (k, B, n): a product with W_l, which all vectors share, is then one matrix product,
    and one with the block's own change of W_l is one for each vector.
    """

    problem: Problem
    mlp: MLP
    batch: Batch
    inputs: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    bends: tuple[Tensor | None, ...]
    outputs: Tensor

    @cached_property
    def weights(self) -> tuple[Tensor, ...]:
        parts = self.problem.space.unflatten(self.problem.theta)
        return tuple(parts[f"{name}.weight"] for name in self.mlp.layers)

    @cached_property
    def places(self) -> tuple[tuple[slice, slice | None], ...]:
        """The places of each layer's weights and bias in a flat vector."""
        found = self.problem.space.slices
        return tuple((found[f"{name}.weight"], found.get(f"{name}.bias")) for name in self.mlp.layers)

    @cached_property
    def deltas(self) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        """Return c dloss/dz_l for each layer, (B, n_l), and (c dloss/da_l) phi''(z_l) for each hidden one, or None."""
        delta = residuals(self.problem, self.batch, self.outputs)
        deltas, turned = [delta], list[Tensor | None]()
        for weight, slope, bend in zip(self.weights[:0:-1], self.slopes[::-1], self.bends[::-1], strict=True):
            delta = delta @ weight
            turned.append(None if bend is None else delta * bend)
            delta = delta * slope
            deltas.append(delta)
        return tuple(deltas[::-1]), tuple(turned[::-1])

    @cached_property
    def bend(self) -> Product:
        """Return U -> M U for U (B D, k), where M holds c d^2 loss / df^2 of each sample."""
        return loss_bend(self.problem, self.outputs, self.batch)

    @property
    def num_bytes(self) -> int:
        """Return the bytes that the pass keeps alive between products, inputs of the data left out."""
        kept = [*self.inputs[1:], *self.slopes, *(b for b in self.bends if b is not None), self.outputs]
        return sum(t.numel() * t.itemsize for t in kept) * 3 // 2  # deltas are made by the first product with H

    def hessian(self, V: Tensor) -> Tensor:
        """Return H V, (P, k): the derivative of the backward pass along each column of V (Pearlmutter 1994)."""
        V = V.T.contiguous()
        changes, moved = self._pushed(V, keep=True)
        return self._pulled(self._bent(moved[-1]), V, changes, moved)

    def gauss_newton(self, V: Tensor) -> Tensor:
        """Return J' M J V, (P, k)."""
        _, moved = self._pushed(V.T.contiguous())
        return self._pulled(self._bent(moved[-1]))

    def push(self, V: Tensor) -> Tensor:
        """Return J V, (B D, k)."""
        _, moved = self._pushed(V.T.contiguous())
        return moved[-1].flatten(1).T

    def pull(self, U: Tensor) -> Tensor:
        """Return J' U, (P, k), for U (B D, k)."""
        return self._pulled(U.T.reshape(U.shape[1], *self.outputs.shape))

    def _bent(self, changes: Tensor) -> Tensor:
        """Return M times changes of the outputs, both (k, B, D)."""
        return self.bend(changes.flatten(1).T).T.reshape(changes.shape)

    def _pushed(self, V: Tensor, keep: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return the changes of a_l, l < L, and of z_l along each row of V (k, P); all (k, B, n_l).

        Without `keep` only the change of the outputs is kept, the last of the second list.
        """
        changes: list[Tensor] = []
        moved: list[Tensor] = []
        change: Tensor | None = None
        for l, (weight, (place, shift)) in enumerate(zip(self.weights, self.places, strict=True)):
            z = V.new_empty(len(V), len(self.outputs), weight.shape[0])
            if change is not None:
                torch.mm(change.flatten(0, 1), weight.T, out=z.flatten(0, 1))
            for column, v in zip(z, V, strict=True):
                own = v[place].view(weight.shape).T
                if change is not None:
                    column.addmm_(self.inputs[l], own)
                else:
                    torch.mm(self.inputs[l], own, out=column)
            if shift is not None:
                z += V[:, None, shift]
            if l < len(self.slopes):
                bent = keep and self.bends[l] is not None
                change = z * self.slopes[l] if bent else z.mul_(self.slopes[l])
                if keep:
                    changes.append(change)
                    moved.append(z)
        moved.append(z)
        return changes, moved

    def _pulled(
        self,
        R: Tensor,
        V: Tensor | None = None,
        changes: list[Tensor] | None = None,
        moved: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the pull-backs (P, k) of R (k, B, D); with V, what its change of the backward pass adds too."""
        out = R.new_empty(len(R), self.problem.num_params)
        for l in reversed(range(len(self.weights))):
            weight, (place, shift) = self.weights[l], self.places[l]
            for j, (row, r) in enumerate(zip(out, R, strict=True)):
                own = row[place].view(weight.shape)
                torch.mm(r.T, self.inputs[l], out=own)
                if changes is not None and l:
                    own.addmm_(self.deltas[0][l].T, changes[l - 1][j])
            if shift is not None:
                out[:, shift] = R.sum(1)
            if not l:
                break
            R = (R.flatten(0, 1) @ weight).view(*R.shape[:2], -1)
            if V is not None:
                for r, v in zip(R, V, strict=True):
                    r.addmm_(self.deltas[0][l], v[place].view(weight.shape))
            R *= self.slopes[l - 1]
            turned = self.deltas[1][l - 1] if V is not None else None
            if turned is not None and moved is not None:
                R.addcmul_(turned, moved[l - 1])
        return out.T


def opened(problem: Problem, mlp: MLP, batch: Batch) -> Pass:
    """Return the forward pass of a mini-batch; slopes are autograd's, 0 at a kink of ReLU."""
    parts = problem.space.unflatten(problem.theta)
    assert isinstance(batch.x, Tensor)  # as `listed_mlp` has seen
    a = batch.x.flatten(1)
    inputs, slopes, bends = [], [], []
    for l, name in enumerate(mlp.layers):
        z = nn.functional.linear(a, parts[f"{name}.weight"], parts.get(f"{name}.bias"))
        inputs.append(a)
        if l < len(mlp.activations):
            a, slope, bend = _twice_bent(mlp.activations[l], z)
            slopes.append(slope)
            bends.append(bend)
    return Pass(problem, mlp, batch, tuple(inputs), tuple(slopes), tuple(bends), z)


def _twice_bent(phi: nn.Module, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return phi(z), phi'(z) and phi''(z) elementwise, None where phi'' is 0 for every entry."""
    ones = torch.ones_like(z)

    def slope(t: Tensor) -> tuple[Tensor, Tensor]:
        a, pull = vjp(lambda u: phi(u.clone()), t)  # type: ignore[misc]
        return pull(ones)[0], a

    with twice_differentiable():
        first, pull, a = vjp(slope, z, has_aux=True)  # type: ignore[misc]
        second = pull(ones)[0]
    return a, first, second if bool(second.count_nonzero()) else None
