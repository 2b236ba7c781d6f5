"""The Jacobian of an MLP over a batch, kept as the factors that its rows are outer products of."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import generator
from scalecurv.linalg.residues import matmul_mod, reduced, residues
from scalecurv.mlp.layers import OpenBatch

ROWS = 2048  # rows of J whose products with as many others are alive at once
NUMBERS = 1 << 23  # of J itself, written out, at once


@dataclass(frozen=True)
class JacobianFactors:
    """Row (i, c) of J is, layer by layer, the outer product of B_l(x_i)[c] and (a_(l-1)(x_i), 1).

    `inputs[l-1]` is a_(l-1) of shape (N, n_(l-1)), `rows[l-1]` B_l of shape (N, C, n_l), `biased[l-1]` whether the
    layer has a bias; C counts outputs. With a `prime` they are residues, and everything is modulo that prime.
    """

    inputs: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    biased: tuple[bool, ...]
    prime: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N C, P)."""
        num_data, num_outputs = self.rows[0].shape[:2]
        columns = [r.shape[2] * (a.shape[1] + b) for r, a, b in zip(self.rows, self.inputs, self.biased, strict=True)]
        return num_data * num_outputs, sum(columns)

    @property
    def modulus(self) -> int:
        """The prime; raises ValueError for factors in floating point."""
        if self.prime is None:
            raise ValueError("these factors are floating-point numbers, not residues")
        return self.prime

    def gram(self) -> Tensor:
        """J J' of shape (N C, N C), tile by tile: sum_l (B_l B_l') o (a a' + 1), the inner products over all layers."""
        num_data, num_outputs = self.rows[0].shape[:2]
        out = self.rows[0].new_empty(self.shape[0], self.shape[0])
        step = max(1, ROWS // num_outputs)
        tiles = [slice(i, min(i + step, num_data)) for i in range(0, num_data, step)]
        for i, left in enumerate(tiles):
            for right in tiles[: i + 1]:
                block = self._gram(left, right)
                here, there = (slice(t.start * num_outputs, t.stop * num_outputs) for t in (left, right))
                out[here, there] = block
                out[there, here] = block.T
        return out

    def dense(self) -> Tensor:
        """J itself, (N C, P), columns in the order of layers and within each weights before biases."""
        return torch.cat([block for _, block in self.blocks()])

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """J in runs of rows."""
        num_data, num_outputs = self.rows[0].shape[:2]
        step = max(1, NUMBERS // (num_outputs * self.shape[1]))
        for i in range(0, num_data, step):
            part = slice(i, min(i + step, num_data))
            yield slice(part.start * num_outputs, part.stop * num_outputs), self._block(part)

    def combined(self, weights: Tensor) -> Tensor:
        """S J of shape (k, P) for residues S (k, N C): as many random combinations of rows as its rank asks for."""
        total = weights.new_zeros(len(weights), self.shape[1])
        for rows, block in self.blocks():
            total += matmul_mod(weights[:, rows], block, self.modulus)
            reduced(total, self.modulus)
        return total

    def _gram(self, left: slice, right: slice) -> Tensor:
        num_outputs = self.rows[0].shape[1]
        total: Tensor | None = None
        for rows, a, biased in zip(self.rows, self.inputs, self.biased, strict=True):
            outer = self._product(rows[left].flatten(0, 1), rows[right].flatten(0, 1).T)
            inner = self._product(a[left], a[right].T) + float(biased)
            outer.view(len(inner), num_outputs, inner.shape[1], num_outputs).mul_(inner[:, None, :, None])
            total = outer if total is None else total.add_(outer)
        assert total is not None
        return total if self.prime is None else reduced(total, self.prime)

    def _block(self, part: slice) -> Tensor:
        columns = []
        for rows, a, biased in zip(self.rows, self.inputs, self.biased, strict=True):
            weights = rows[part][:, :, :, None] * a[part][:, None, None, :]
            columns += [weights.flatten(2), rows[part]] if biased else [weights.flatten(2)]
        block = torch.cat(columns, dim=2).flatten(0, 1)
        return block if self.prime is None else reduced(block, self.prime)

    def _product(self, A: Tensor, B: Tensor) -> Tensor:
        return A @ B if self.prime is None else matmul_mod(A, B, self.prime)


def factors_of(opened: OpenBatch, seeds: Tensor) -> JacobianFactors:
    """In floating point; `seeds` (C, D) or (N, C, D), a sample's own, are the combinations of outputs that J is of."""
    everywhere = seeds.expand(len(opened.outputs), *seeds.shape[-2:])
    biased = tuple(bias is not None for bias in opened.biases)
    return JacobianFactors(opened.inputs, opened.pulled(everywhere), biased)


def cell_factors(opened: OpenBatch, seeds: Tensor, prime: int, generic: int | None = None) -> JacobianFactors:
    """The factors of J modulo `prime`, for a network whose slopes on this batch are those of `opened`, float64.

    With the slopes frozen every entry of J is a polynomial with whole coefficients in weights, biases, slopes and
    inputs. These are floats, so that all have residues: the rank modulo `prime` is at most the rank of J in exact
    arithmetic at the floats as given. `generic` is the seed of random residues in the place of weights and biases:
    then it is at most the rank at almost all parameters of the cell, and equal to it but with small probability.
    `seeds` (C, D) are the combinations of outputs, whole numbers. Activations must be homogeneous, phi(z) = phi'(z) z.
    """
    weights = [_parameter(w, prime, generic, f"weight {l}") for l, w in enumerate(opened.weights)]
    biases = [None if b is None else _parameter(b, prime, generic, f"bias {l}") for l, b in enumerate(opened.biases)]
    slopes = [residues(slope, prime) for slope in opened.slopes]
    inputs = [residues(opened.inputs[0], prime)]
    for weight, bias, slope in zip(weights, biases, slopes, strict=False):
        z = matmul_mod(inputs[-1], weight.T, prime)
        inputs.append(reduced((z if bias is None else reduced(z + bias, prime)) * slope, prime))
    rows = [seeds.to(torch.float64).expand(len(inputs[0]), *seeds.shape)]
    for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        rows.append(reduced(matmul_mod(rows[-1], weight, prime) * slope[:, None, :], prime))
    biased = tuple(bias is not None for bias in biases)
    return JacobianFactors(tuple(inputs), tuple(reversed(rows)), biased, prime)


def random_residues(shape: tuple[int, ...], prime: int, seed: int, stream: str, device: torch.device) -> Tensor:
    """Independent and uniform modulo `prime`, float64, the same on every device."""
    drawn = generator(seed, stream, prime).integers(-(prime // 2), prime // 2 + 1, size=shape)
    return torch.from_numpy(drawn.astype(np.float64)).to(device)


def _parameter(parameter: Tensor, prime: int, generic: int | None, name: str) -> Tensor:
    if generic is None:
        return residues(parameter, prime)
    return random_residues(tuple(parameter.shape), prime, generic, f"cell {name}", parameter.device)
