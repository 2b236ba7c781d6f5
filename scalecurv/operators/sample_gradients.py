"""Pull-backs J_i' w_i of single samples, and all their inner products, by layer.

A perceptron needs no vector of P numbers for them: the part of layer l is delta_i a_i', so that the inner product of
two samples is (delta_i . delta_j) (a_i . a_j + 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.func import vjp, vmap

from scalecurv.affine.single_samples import is_vectorised, refilled
from scalecurv.autodiff.backends import AUTOGRAD
from scalecurv.mlp.layers import listed_mlp, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import Inputs, leaves_of


class SampleRows(Protocol):
    """The pull-backs of n samples, one row each."""

    def grams(self, other: "SampleRows") -> Tensor:
        """Return the inner products of the rows with those of `other`, layer by layer, shape (L, n, n')."""


@dataclass(frozen=True)
class WholeRows:
    """Rows that are written out, `rows` (n, P), and the place of each layer in them."""

    rows: Tensor
    places: tuple[slice, ...]

    def grams(self, other: SampleRows) -> Tensor:
        assert isinstance(other, WholeRows)
        return torch.stack([self.rows[:, place] @ other.rows[:, place].T for place in self.places])


@dataclass(frozen=True)
class LayerRows:
    """Rows of a perceptron: `deltas` (n, n_l) and `inputs` (n, n_(l-1)) of each layer, and 1 for a bias, else 0."""

    deltas: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    biases: tuple[float, ...]

    def grams(self, other: SampleRows) -> Tensor:
        assert isinstance(other, LayerRows)
        parts = zip(self.deltas, self.inputs, other.deltas, other.inputs, self.biases, strict=True)
        return torch.stack([(d @ e.T) * (a @ b.T + bias) for d, a, e, b, bias in parts])


def sample_rows(problem: Problem, batch: Batch, weights: Tensor) -> SampleRows:
    """Return the rows J_i' w_iq for each sample i of a batch and each of its q weights, `weights` (B, q, D).

    There are B q of them, those of a sample one after the other; layers are in the order of `layer_names`. Raises
    CheckpointError where autograd cannot differentiate the model.
    """
    q = weights.shape[1]
    mlp = listed_mlp(problem)
    if mlp is not None:
        opened = open_batch(problem, mlp, batch)
        inputs = tuple(a.repeat_interleave(q, 0) for a in opened.inputs)
        biases = tuple(float(bias is not None) for bias in opened.biases)
        return LayerRows(tuple(rows.flatten(0, 1) for rows in opened.pulled(weights)), inputs, biases)
    scalars = 6 * problem.footprint.activations + 3 * q * problem.num_params
    pieces = batch.pieces(max(1, problem.memory // 4 // (scalars * problem.dtype.itemsize)))
    rows = torch.cat([_written_out(problem, piece.x, weights[piece.start - batch.start :]) for piece in pieces])
    return WholeRows(rows.flatten(0, 1), tuple(problem.space.layers.values()))


def _written_out(problem: Problem, x: Inputs, weights: Tensor) -> Tensor:
    """Return J_i' w_iq, (B, q, P), for the first B of the weights: vectorised where torch.func takes the model."""
    if is_vectorised(problem, tuple(problem.space.shapes)):
        return _vectorised(problem, x, weights[: len(x)])
    rows = []
    for i in range(len(x)):
        with quoted(problem.model, "the gradient of one sample"):
            side = AUTOGRAD.linearized(partial(problem.outputs, x=x[i : i + 1]), problem.theta)
            rows.append(side.pull(weights[i].T).T)
    return torch.stack(rows)


def _vectorised(problem: Problem, x: Inputs, weights: Tensor) -> Tensor:
    def rows(leaves: list[Tensor], weight: Tensor) -> Tensor:
        one = refilled(x, [leaf[None] for leaf in leaves])
        _, pull = vjp(partial(problem.outputs, x=one), problem.theta)  # type: ignore[misc]
        return torch.stack([pull(row[None])[0] for row in weight])  # a loop, as vmap of vmap has wrong rules in places

    with quoted(problem.model, "the gradients of samples"):
        return vmap(rows)(leaves_of(x), weights)


def layer_names(problem: Problem) -> Sequence[str]:
    """Return the names of the layers, in the order in which rows hold them."""
    mlp = listed_mlp(problem)
    return list(problem.space.layers) if mlp is None else mlp.layers


def row_size(problem: Problem) -> int:
    """Return the numbers that one row holds: P, and for a perceptron those of the two sides of each layer."""
    mlp = listed_mlp(problem)
    return problem.num_params if mlp is None else sum(mlp.widths[1:]) + sum(mlp.widths[:-1])
