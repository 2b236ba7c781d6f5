"""How large a minor of the Jacobian can be as a whole number: what decides how many primes can hide its rank."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.linalg.residues import lowest_bit
from scalecurv.measures.rank.factors import factors_of
from scalecurv.mlp.layers import OpenBatch


@dataclass(frozen=True)
class MinorBits:
    """Bits of each column of J, and of each row of it, once scaled by powers of two to whole numbers.

    `columns` (P,) holds log2 |column| and `rows` (N C,) log2 |row| over the unit of their last bit, descending, each
    an upper bound. Hadamard's inequality bounds the minors by their products.
    """

    columns: Tensor
    rows: Tensor

    def of_jacobian(self, rank: int) -> float:
        """log2 of the largest minor of J of this size: columns may be scaled one by one."""
        return float(self.columns[:rank].sum())

    def of_gram(self, rank: int) -> float:
        """log2 of the largest principal minor of J J', det of rank rows times their transpose."""
        return 2 * float(self.rows[:rank].sum())


def minor_bits(opened: OpenBatch, seeds: Tensor) -> MinorBits:
    """Of J at these slopes, weights, biases and inputs, in exact arithmetic.

    A float is a whole multiple of the lowest bit that is set in any of its tensor, and so are sums and products.
    Sizes are those of a network of absolute values, so that nothing cancels; where some are so small or large that
    squares might underflow or overflow, all bits are infinite.
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
    """Whether every number is 0 or between 2^-250 and 2^250 in size: products of four are normal floats."""
    return bool(((x == 0) | ((x > 2.0**-250) & (x < 2.0**250))).all())


@dataclass(frozen=True)
class _LastBits:
    """Exponents of the last bit in the columns of a layer's weights and of its biases."""

    weights: int
    biases: int


def _last_bits(opened: OpenBatch) -> list[_LastBits]:
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
    """log2 of the square roots in these units, one bit in 10^6 added for rounding; 0 for what is 0."""
    bits = 0.5 * torch.log2(squares[squares > 0].flatten()) - unit
    return bits.clamp_min(0.0) * (1 + 1e-6)


def _sorted(bits: list[Tensor]) -> Tensor:
    return torch.cat([b.flatten() for b in bits]).sort(descending=True).values
