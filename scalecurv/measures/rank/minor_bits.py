"""Bounds on the size of minors of the Jacobian as whole numbers, and so on the number of primes that divide them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.linalg.residues import lowest_bit
from scalecurv.measures.rank.factors import factors_of
from scalecurv.mlp.layers import OpenBatch


@dataclass(frozen=True)
class MinorBits:
    """Upper bounds on the bits of the columns and rows of J, scaled by powers of two to whole numbers.

    `columns` (P,) holds log2 |column| and `rows` (N C,) log2 |row|, in units of their last bits, in descending order.
    By Hadamard's inequality their sums bound the bits of minors.
    """

    columns: Tensor
    rows: Tensor

    def of_jacobian(self, rank: int) -> float:
        """Return a bound on log2 of the minors of J of size `rank`; each column is scaled by itself."""
        return float(self.columns[:rank].sum())

    def of_gram(self, rank: int) -> float:
        """Return a bound on log2 of the principal minors of J J' of size `rank`."""
        return 2 * float(self.rows[:rank].sum())


def minor_bits(opened: OpenBatch, seeds: Tensor) -> MinorBits:
    """Return the bits of J at these slopes, weights, biases and inputs, in exact arithmetic.

    The entries of a tensor of floats are whole multiples of the lowest bit that is set in any of them; so are their
    sums and products, with the bits added. Sizes are bounded by those of a network of absolute values, in which nothing
    cancels. All bits are infinite where a number is so small or large that squares might underflow or overflow.
    """
    last, absolute = _last_bits(opened), _absolute(opened)
    sizes = factors_of(absolute, seeds.abs())
    if not all(map(_tame, (*absolute.weights, *absolute.slopes, *absolute.pre, *sizes.inputs, *sizes.rows))):
        return MinorBits(torch.full((sizes.shape[1],), torch.inf), torch.full((sizes.shape[0],), torch.inf))
    columns, rows, unit = [], [], []
    for l, (a, biased) in enumerate(zip(sizes.inputs, sizes.biased, strict=True)):
        B = (sizes.rows[l] ** 2).sum(1)
        columns.append(_bits(B.T @ a**2, last[l].weights))
        unit.append(last[l].weights)
        rows.append((sizes.rows[l] ** 2).sum(2) * (a**2).sum(1)[:, None])
        if biased:
            columns.append(_bits(B.sum(0), last[l].biases))
            unit.append(last[l].biases)
            rows[-1] += (sizes.rows[l] ** 2).sum(2)
    return MinorBits(_sorted(columns), _sorted([_bits(torch.stack(rows).sum(0), min(unit))]))


def _tame(x: Tensor) -> bool:
    """Return True where every number is 0 or between 2^-250 and 2^250 in size, so that products of four are normal."""
    return bool(((x == 0) | ((x > 2.0**-250) & (x < 2.0**250))).all())


@dataclass(frozen=True)
class _LastBits:
    """The exponents of the last bit in the columns of J of a layer's weights, and of its biases."""

    weights: int
    biases: int


def _last_bits(opened: OpenBatch) -> list[_LastBits]:
    """Return the exponents of the last bits of J, layer by layer."""
    slopes = [lowest_bit(slope) for slope in opened.slopes]
    weights = [lowest_bit(weight) for weight in opened.weights]
    inputs = [lowest_bit(opened.inputs[0])]
    for weight, bias, slope in zip(weights, opened.biases, slopes, strict=False):
        z = weight + inputs[-1]
        inputs.append((z if bias is None else min(z, lowest_bit(bias))) + slope)
    rows = [0]
    for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        rows.append(rows[-1] + weight + slope)
    return [_LastBits(row + a, row) for row, a in zip(reversed(rows), inputs, strict=True)]


def _absolute(opened: OpenBatch) -> OpenBatch:
    """Return the batch of a network whose inputs, weights, biases and slopes are the absolute values."""
    a, inputs, pre = opened.inputs[0].abs(), [], []
    for l, weight in enumerate(opened.weights):
        bias = opened.biases[l]
        inputs.append(a)
        pre.append(torch.nn.functional.linear(a, weight.abs(), None if bias is None else bias.abs()))
        a = pre[-1] * opened.slopes[l].abs() if l < len(opened.slopes) else a
    return OpenBatch(
        tuple(inputs),
        tuple(pre),
        tuple(slope.abs() for slope in opened.slopes),
        tuple(weight.abs() for weight in opened.weights),
        tuple(None if bias is None else bias.abs() for bias in opened.biases),
    )


def _bits(squares: Tensor, unit: int) -> Tensor:
    """Return log2 of the square roots of the nonzero squares, in units 2^unit, plus a millionth for rounding."""
    bits = 0.5 * torch.log2(squares[squares > 0].flatten()) - unit
    return bits.clamp_min(0.0) * (1 + 1e-6)


def _sorted(bits: list[Tensor]) -> Tensor:
    """Return the bits of all tensors in one, in descending order."""
    return torch.cat([b.flatten() for b in bits]).sort(descending=True).values
