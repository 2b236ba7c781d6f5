"""A row of blocks that shows the course of a number on one line of a terminal."""

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
DECADES = 2.0  # powers of ten between the smallest and the largest value from which on the scale is logarithmic


def sparkline(values: Sequence[float], width: int) -> str:
    """Return at most `width` blocks for values in order, the smallest as the lowest block; NaN is a gap.

    More values than blocks are taken in groups, of which the last that is no NaN is shown. The scale is that of
    `is_logarithmic`.

    Example:
        >>> sparkline([0.0, 1.0, math.nan, 2.0], 10), sparkline([1.0, 1.0], 10), sparkline([1.0, 30.0, 900.0], 10)
        ('▁▅ █', '▄▄', '▁▅█')
    """
    shown = _grouped(values, width)
    scaled = [math.log10(v) if math.isfinite(v) else v for v in shown] if is_logarithmic(values) else shown
    finite = [value for value in scaled if math.isfinite(value)]
    if not finite:
        return " " * len(scaled)
    size = max(map(abs, finite)) or 1.0  # in units of which differences of the largest floats do not overflow
    scaled = [value / size for value in scaled]
    low, high = min(finite) / size, max(finite) / size
    return "".join(_block(value, low, high) for value in scaled)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Return True where all values are positive and span two decades or more.

    Example:
        >>> is_logarithmic([1.0, 100.0, math.nan]), is_logarithmic([1.0, 99.0]), is_logarithmic([-1.0, 1000.0])
        (True, False, False)
    """
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and math.log10(max(finite)) - math.log10(min(finite)) >= DECADES


def _grouped(values: Sequence[float], width: int) -> list[float]:
    """Return one value for each of at most `width` groups of neighbours."""
    count = len(values)
    if count <= width:
        return list(values)
    groups = [values[i * count // width : (i + 1) * count // width] for i in range(width)]
    return [next((v for v in reversed(group) if math.isfinite(v)), math.nan) for group in groups]


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    if high == low:
        return BLOCKS[len(BLOCKS) // 2 - 1]
    return BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))]
