"""The Jacobian of an MLP over a batch, as factors whose outer products are its rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import generator
from scalecurv.linalg.residues import matmul_mod, reduced, residues
from scalecurv.mlp.layers import OpenBatch

ROWS = 512  # rows of J in a tile of J J', or columns in one of J'J, which stays in the cache of the processor
NUMBERS = 1 << 23  # entries of J that are written out at once


@dataclass(frozen=True)
class JacobianFactors:
    """The factors of J: row (i, c) is, layer by layer, the outer product of B_l(x_i)[c] and (a_(l-1)(x_i), 1).

    inputs: inputs[l-1] is a_(l-1), the input of layer l, of shape (N, n_(l-1)).
    rows: rows[l-1] is B_l, the derivative of the C outputs in the pre-activations of layer l, of shape (N, C, n_l).
    biased: biased[l-1] is True where layer l has a bias.
    prime: None for numbers in floating point; else the factors are residues, and all results are modulo this prime.
    """

    inputs: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    biased: tuple[bool, ...]
    prime: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape (N C, P) of J."""
        num_data, num_outputs = self.rows[0].shape[:2]
        columns = [r.shape[2] * (a.shape[1] + b) for r, a, b in zip(self.rows, self.inputs, self.biased, strict=True)]
        return num_data * num_outputs, sum(columns)

    @property
    def modulus(self) -> int:
        """Return the prime; raises ValueError for factors in floating point."""
        if self.prime is None:
            raise ValueError("these factors are floating-point numbers, not residues")
        return self.prime

    def gram(self) -> Tensor:
        """Return J J' = sum_l (B_l B_l') o (a a' + 1), shape (N C, N C), tile by tile; o multiplies entries."""
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

    def columns_gram(self) -> Tensor:
        """Return J'J, shape (P, P), of factors in floating point, a block of rows of J at a time."""
        size = self.shape[1]
        out = self.rows[0].new_zeros(size, size)
        tiles = [slice(i, min(i + ROWS, size)) for i in range(0, size, ROWS)]
        for _, block in self.blocks():
            for i, left in enumerate(tiles):
                right = slice(0, tiles[i].stop)
                out[left, right].addmm_(block[:, left].T, block[:, right])
        for left in tiles:
            out[: left.start, left] = out[left, : left.start].T
        return out

    def dense(self) -> Tensor:
        """Return J, shape (N C, P), its columns in the order of layers, and weights before biases in each."""
        return torch.cat([block for _, block in self.blocks()])

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield J in blocks of consecutive rows, each with the slice of its rows."""
        num_data, num_outputs = self.rows[0].shape[:2]
        step = max(1, NUMBERS // (num_outputs * self.shape[1]))
        for i in range(0, num_data, step):
            part = slice(i, min(i + step, num_data))
            yield slice(part.start * num_outputs, part.stop * num_outputs), self._block(part)

    def combined(self, weights: Tensor) -> Tensor:
        """Return S J, shape (k, P), for residues S (k, N C), the `weights` of k combinations of rows."""
        total = weights.new_zeros(len(weights), self.shape[1])
        for rows, block in self.blocks():
            total += matmul_mod(weights[:, rows], block, self.modulus)
            reduced(total, self.modulus)
        return total

    def _gram(self, left: slice, right: slice) -> Tensor:
        """Return the tile of J J' of two ranges of samples."""
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
        """Return the rows of J of a range of samples."""
        columns = []
        for rows, a, biased in zip(self.rows, self.inputs, self.biased, strict=True):
            weights = rows[part][:, :, :, None] * a[part][:, None, None, :]
            columns += [weights.flatten(2), rows[part]] if biased else [weights.flatten(2)]
        block = torch.cat(columns, dim=2).flatten(0, 1)
        return block if self.prime is None else reduced(block, self.prime)

    def _product(self, A: Tensor, B: Tensor) -> Tensor:
        return A @ B if self.prime is None else matmul_mod(A, B, self.prime)


def factors_of(opened: OpenBatch, seeds: Tensor) -> JacobianFactors:
    """Return the factors of J in floating point.

    J is the Jacobian of the combinations `seeds` of the outputs, (C, D), or (N, C, D) with its own for each sample.
    """
    everywhere = seeds.expand(len(opened.outputs), *seeds.shape[-2:])
    biased = tuple(bias is not None for bias in opened.biases)
    return JacobianFactors(opened.inputs, opened.pulled(everywhere), biased)


def region_factors(opened: OpenBatch, seeds: Tensor, prime: int, generic: int | None = None) -> JacobianFactors:
    """Return the factors of J modulo `prime`, for a network with the float64 slopes of `opened` on this batch.

    With fixed slopes every entry of J is a polynomial with whole coefficients in weights, biases, slopes and inputs.
    These are floats, which have residues: the rank modulo `prime` is at most the rank of J in exact arithmetic at the
    given floats. `generic` is the seed of random residues that take the place of weights and biases. The rank is then
    at most that at almost all parameters of the activation region, and less only with small probability. `seeds` (C, D)
    are the combinations of outputs, whole numbers. Activations must be homogeneous, phi(z) = phi'(z) z.
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
    """Return independent uniform residues modulo `prime`, in float64, the same on every device."""
    drawn = generator(seed, stream, prime).integers(-(prime // 2), prime // 2 + 1, size=shape)
    return torch.from_numpy(drawn.astype(np.float64)).to(device)


def _parameter(parameter: Tensor, prime: int, generic: int | None, name: str) -> Tensor:
    """Return the residues of a parameter, or random ones in its place where `generic` is a seed."""
    if generic is None:
        return residues(parameter, prime)
    return random_residues(tuple(parameter.shape), prime, generic, f"cell {name}", parameter.device)
