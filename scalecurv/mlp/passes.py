"""One pass through a perceptron on a mini-batch, and the products with H, G and J that share it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from scalecurv.autodiff.backends import Backend, Product, Scalar
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.mlp.layers import bent
from scalecurv.problem.graphs import backend_of, loss_bend, loss_of_outputs
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import HOMOGENEOUS, MLP, PIECEWISE_LINEAR
from scalecurv.samples.batch import Batch

ULPS = 64  # of |a| |w|: pre-activations in float32 were off by 2.1 at most, in networks of up to nine layers


@dataclass(frozen=True, eq=False)
class Pass:
    """The values that a product needs again, layer by layer l = 1 .. L, for a mini-batch of B samples.

    With z_l = W_l a_(l-1) + b_l and a_l = phi_l(z_l), `inputs[l-1]` is a_(l-1) (B, n_(l-1)); `slopes[l-1]` is phi'(z_l)
    and `bends[l-1]` phi''(z_l), None where it is 0 everywhere, both (B, n_l) for l < L. `outputs` f is z_L (B, D).
    `weights[l-1]` is W_l (n_l, n_(l-1)), and `places[l-1]` holds the places of W_l and b_l in a flat vector of `size`
    entries. `loss` is f -> c sum of the loss over the samples, and `second` f -> (U -> M U), where M holds
    c d^2 loss / df^2 of each sample and U is (B D, k).

    Blocks of k vectors are held as (k, B, n): a product with W_l, which all vectors share, is then one matrix product,
    and one with the block's own change of W_l is one for each vector. A block and its product are views of flat
    vectors: nothing of the size of a parameter vector is copied.
    """

    weights: tuple[Tensor, ...]
    places: tuple[tuple[slice, slice | None], ...]
    size: int
    inputs: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    bends: tuple[Tensor | None, ...]
    outputs: Tensor
    loss: Scalar
    second: Callable[[Tensor], Product]
    backend: Backend

    @cached_property
    def deltas(self) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...], Tensor]:
        """Return c dloss/dz_l for each layer, (c dloss/da_l) phi''(z_l) for each hidden one, and c times the loss.

        All but the loss are (B, n_l); those with phi'' are None where it is 0 everywhere.
        """
        delta, value = self.backend.gradient(self.loss, self.outputs)
        deltas, turned = [delta], list[Tensor | None]()
        for weight, slope, bend in zip(self.weights[:0:-1], self.slopes[::-1], self.bends[::-1], strict=True):
            delta = delta @ weight
            turned.append(None if bend is None else delta * bend)
            delta = delta * slope
            deltas.append(delta)
        return tuple(deltas[::-1]), tuple(turned[::-1]), value

    @cached_property
    def bend(self) -> Product:
        """Return U -> M U for U (B D, k)."""
        return self.second(self.outputs)

    def gradient(self) -> Tensor:
        """Return c times the gradient of the batch's loss, followed by c times that loss, (P + 1,)."""
        deltas, _, value = self.deltas
        out = self.outputs.new_empty(self.size + 1)
        for l, (place, shift) in enumerate(self.places):
            torch.mm(deltas[l].T, self.inputs[l], out=out[place].view(self.weights[l].shape))
            if shift is not None:
                torch.sum(deltas[l], 0, out=out[shift])
        out[-1] = value
        return out

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

    def _matrices(self, block: Tensor, layer: int) -> Tensor:
        """Return the parts of W_l in each row of a block (k, P), a view of shape (k, n_l, n_(l-1))."""
        return block[:, self.places[layer][0]].view(len(block), *self.weights[layer].shape)

    def _pushed(self, V: Tensor, keep: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return the changes of a_l, l < L, and of z_l along each row of V (k, P); all (k, B, n_l).

        Without `keep` only the change of the outputs is kept, the last of the second list.
        """
        k, changes, moved = len(V), list[Tensor](), list[Tensor]()
        change: Tensor | None = None
        for l, (weight, (_, shift)) in enumerate(zip(self.weights, self.places, strict=True)):
            inputs, own = self.inputs[l].expand(k, -1, -1), self._matrices(V, l).transpose(1, 2)
            z = torch.bmm(inputs, own) if shift is None else torch.baddbmm(V[:, None, shift], inputs, own)
            if change is not None:
                z.flatten(0, 1).addmm_(change.flatten(0, 1), weight.T)
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
        k, out = len(R), R.new_empty(len(R), self.size)
        for l in reversed(range(len(self.weights))):
            own, shift = self._matrices(out, l), self.places[l][1]
            torch.bmm(R.transpose(1, 2), self.inputs[l].expand(k, -1, -1), out=own)
            if changes is not None and l:
                own.baddbmm_(self.deltas[0][l].T.expand(k, -1, -1), changes[l - 1])
            if shift is not None:
                torch.sum(R, 1, out=out[:, shift])
            if not l:
                break
            R = (R.flatten(0, 1) @ self.weights[l]).view(*R.shape[:2], -1)
            if V is not None:
                R.baddbmm_(self.deltas[0][l].expand(k, -1, -1), self._matrices(V, l))
            R *= self.slopes[l - 1]
            turned = self.deltas[1][l - 1] if V is not None else None
            if turned is not None and moved is not None:
                R += moved[l - 1].mul_(turned)  # in two passes, of which each is three times faster than addcmul_
        return out.T


def opened(problem: Problem, mlp: MLP, batch: Batch, sure: bool = True) -> Pass:
    """Return the forward pass of a mini-batch; slopes are autograd's, 0 at a kink of ReLU.

    In dtypes narrower than float64 rounding could decide the side of a kink on which a pre-activation lies, and each
    such error would change H. If `sure`, the samples for which it may are passed through in float64 (see `decided`).
    """
    parts, places = problem.space.unflatten(problem.theta), problem.space.slices
    weights = tuple(parts[f"{name}.weight"] for name in mlp.layers)
    assert isinstance(batch.x, Tensor)  # as `listed_mlp` has seen
    a = batch.x.flatten(1)
    biases = tuple(parts.get(f"{name}.bias") for name in mlp.layers)
    inputs, slopes, bends = [], [], []
    unsure = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    for l, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = nn.functional.linear(a, weight, bias)
        inputs.append(a)
        if l < len(mlp.activations):
            if sure and z.dtype != torch.float64:
                unsure |= near_a_kink(mlp.activations[l], z, a, weight)
            a, slope, bend = _twice_bent(mlp.activations[l], z)
            slopes.append(slope)
            bends.append(bend)
    if bool(unsure.any()):
        decided(mlp, unsure, weights, biases, inputs, slopes, z)
    return Pass(
        weights,
        tuple((places[f"{name}.weight"], places.get(f"{name}.bias")) for name in mlp.layers),
        problem.num_params,
        tuple(inputs),
        tuple(slopes),
        tuple(bends),
        z,
        loss_of_outputs(problem, batch),
        loss_bend(problem, batch),
        backend_of(problem),
    )


def near_a_kink(phi: nn.Module, z: Tensor, a: Tensor, weight: Tensor) -> Tensor:
    """Return the samples (B,) with a pre-activation within 64 ulps of |a| |w| of a kink, w its row of the weights."""
    if type(phi) is nn.Identity or type(phi) not in PIECEWISE_LINEAR:
        return torch.zeros(len(z), dtype=torch.bool, device=z.device)
    lengths = a.norm(dim=1, keepdim=True) * weight.norm(dim=1)
    margin = (ULPS * torch.finfo(z.dtype).eps) * lengths
    if type(phi) in HOMOGENEOUS:
        return ((z.abs() <= margin) & (margin > 0)).any(1)
    return (bent(phi, z - margin)[1] != bent(phi, z + margin)[1]).any(1)


def decided(
    mlp: MLP,
    unsure: Tensor,
    weights: tuple[Tensor, ...],
    biases: tuple[Tensor | None, ...],
    inputs: list[Tensor],
    slopes: list[Tensor],
    outputs: Tensor,
) -> None:
    """Replace the rows `unsure` of inputs, slopes and outputs by those of a forward pass in float64."""
    a = inputs[0][unsure].double()
    for l, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = nn.functional.linear(a, weight.double(), None if bias is None else bias.double())
        if l == len(slopes):
            outputs[unsure] = z.to(outputs.dtype)
            break
        a, slope = bent(mlp.activations[l], z)
        inputs[l + 1][unsure], slopes[l][unsure] = a.to(outputs.dtype), slope.to(outputs.dtype)


def _twice_bent(phi: nn.Module, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return phi(z), phi'(z) and phi''(z) elementwise, None where phi'' is 0 for every entry."""
    linear = type(phi) in PIECEWISE_LINEAR
    at = z.detach().requires_grad_()
    with torch.enable_grad(), twice_differentiable():  # plain autograd: torch.func takes a millisecond to set up
        a = phi(at.clone())
        (first,) = torch.autograd.grad(a.sum(), at, create_graph=not linear)  # sums, as torch imports sympy for ones
        bends = not linear and first.requires_grad
        second = torch.autograd.grad(first.sum(), at, allow_unused=True)[0] if bends else None
    bent = second is not None and bool(second.count_nonzero())
    return a.detach(), first.detach(), second if bent else None
