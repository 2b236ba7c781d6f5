"""Small drawings in HTML, as SVG in the colour of the text around it: an interval, lines over steps, bars.

They need no library and fit light and dark pages. Each has a title that says in words what it shows.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

Point = tuple[float, float, float, float]  # x, y and the ends of the interval of y
WIDTH, HEIGHT = 248, 96  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 60, 8, 18, 16  # pixels around its frame
STRIP, THICK, MARGIN = 180, 18, 10  # pixels of an interval: width, height, and the room for arrows at either end
OPEN = 0.2  # share of the numbers' range by which an infinite end goes beyond the numbers
LOGARITHMIC = 100  # ratio of positive values from which their scale is logarithmic
_FONT = 'font-family="sans-serif" font-size="10" fill="currentColor"'


def interval(value: float, lower: float, upper: float) -> str:
    """Return a bar from `lower` to `upper` with a dot at the value, on an axis that holds 0.

    An end that is infinite is an arrow, a short bar is two pixels long, and equal ends have none. So the picture shows
    how long the interval is beside the distance of the value from 0. Returns "" where the value is no finite number.

    Example:
        >>> "<title>4, interval from 3 to inf; the tick is 0</title>" in interval(4.0, 3.0, float("inf"))
        True
    """
    if not math.isfinite(value):
        return ""
    lower, upper = (value if math.isnan(end) else end for end in (lower, upper))
    ends = [0.0, value, *(end for end in (lower, upper) if math.isfinite(end))]
    size = max(map(abs, ends)) or 1.0  # in units of which differences of the largest floats do not overflow
    low, high = min(ends) / size, max(ends) / size
    low, high = (low, high) if low < high else (-1.0, 1.0)
    beyond = OPEN * (high - low)
    low, high = low - beyond * (lower == -math.inf), high + beyond * (upper == math.inf)

    def x(t: float) -> float:
        return MARGIN + (t / size - low) / (high - low) * (STRIP - 2 * MARGIN)

    y = THICK / 2
    start, end = (x(lower) if lower > -math.inf else MARGIN / 2), (x(upper) if upper < math.inf else STRIP - MARGIN / 2)
    shapes = [f'<path d="M{MARGIN} {y}H{STRIP - MARGIN}M{x(0):.1f} {y - 5}v10" stroke="currentColor" opacity="0.5"/>']
    if lower < upper:
        length = max(end - start, 2.0)
        bar = f'x="{(start + end - length) / 2:.1f}" y="{y - 3}" width="{length:.1f}" height="6"'
        shapes.append(f'<rect {bar} fill="currentColor" opacity="0.45"/>')
    for infinite, tip, way in ((lower == -math.inf, start, 1), (upper == math.inf, end, -1)):
        if infinite:
            shapes.append(f'<path d="M{tip - 5 * way:.1f} {y}l{7 * way} -6v12z" fill="currentColor"/>')
    shapes.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="3.5" fill="currentColor"/>')
    held = f"interval from {lower:.6g} to {upper:.6g}" if lower < upper else "exact"
    return _svg(STRIP, THICK, f"{value:.6g}, {held}; the tick is 0", shapes)


def panel(title: str, lines: Iterable[Sequence[Point]], over: str = "step") -> str:
    """Return lines of points with their intervals, in a frame that names the ends of both axes.

    The scale of y is logarithmic where all values are positive and differ by more than a factor of 100; the title then
    says so. Intervals are cut at the frame, which grows with them up to three times the height of the values. Points
    that are not finite are left out; returns "" where none is left.
    """
    drawn = [[p for p in line if math.isfinite(p[0]) and math.isfinite(p[1])] for line in lines]
    drawn = [line for line in drawn if line]
    if not drawn:
        return ""
    every = [point for line in drawn for point in line]
    values = [point[1] for point in every]
    logarithmic = min(values) > 0 and max(values) > LOGARITHMIC * min(values)
    title += ", log scale" if logarithmic else ""
    bottom, top = _range(every, logarithmic)
    first, last = min(p[0] for p in every), max(p[0] for p in every)

    def x(t: float) -> float:
        return LEFT + (t - first) / ((last - first) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(t: float) -> float:
        share = (_scaled(t, logarithmic) - bottom) / (top - bottom)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    bars = "".join(f"M{x(p[0]):.1f} {y(p[2]):.1f}V{y(p[3]):.1f}" for p in every if p[2] < p[3])
    paths = "".join("M" + "L".join(f"{x(p[0]):.1f} {y(p[1]):.1f}" for p in line) for line in drawn)
    dots = "".join(f"M{x(p[0]):.1f} {y(p[1]):.1f}h0" for p in every) if len(every) <= STRIP else ""
    shapes = [
        f'<path d="{bars}" stroke="currentColor" stroke-width="2" opacity="0.3"/>',
        f'<path d="{paths}" stroke="currentColor" fill="none" opacity="0.8"/>',
        f'<path d="{dots}" stroke="currentColor" stroke-width="3" stroke-linecap="round"/>',
    ]
    ends = [math.exp(end) if logarithmic else end for end in (bottom, top)]
    return _framed(title, over, (first, last), (f"{ends[0]:.3g}", f"{ends[1]:.3g}"), shapes)


def bars(title: str, positions: Sequence[float], heights: Sequence[float], over: str) -> str:
    """Return positive heights as bars on a logarithmic scale, added up where positions share a pixel."""
    first, last = min(positions), max(positions)
    width = WIDTH - LEFT - RIGHT
    added: dict[int, float] = {}
    for position, height in zip(positions, heights, strict=True):
        share = (position - first) / ((last - first) or 1.0)
        column = round(share * width)
        added[column] = added.get(column, 0.0) + height
    added = {column: height for column, height in added.items() if height > 0}
    low, high = math.log(min(added.values()) / 2), math.log(max(added.values()))
    tall = {
        column: (math.log(height) - low) / (high - low) * (HEIGHT - TOP - BOTTOM) for column, height in added.items()
    }
    path = "".join(f"M{LEFT + column} {HEIGHT - BOTTOM}v-{height:.1f}" for column, height in tall.items())
    shapes = [f'<path d="{path}" stroke="currentColor" stroke-width="1.5"/>']
    ends = (f"{math.exp(low):.2g}", f"{math.exp(high):.2g}")
    return _framed(f"{title}, log scale", over, (first, last), ends, shapes)


def _scaled(number: float, logarithmic: bool) -> float:
    if not logarithmic:
        return number
    return math.log(number) if number > 0 else -math.inf


def _range(points: Sequence[Point], logarithmic: bool) -> tuple[float, float]:
    """Return the ends of y on its scale: those of the values, and of the intervals as far as they may widen them."""
    values = [_scaled(p[1], logarithmic) for p in points]
    low, high = min(values), max(values)
    room = (high - low) or abs(high) or 1.0
    lows = [low, *(_scaled(p[2], logarithmic) for p in points if p[2] < p[3])]
    highs = [high, *(_scaled(p[3], logarithmic) for p in points if p[2] < p[3])]
    low, high = max(min(lows), low - room), min(max(highs), high + room)
    return (low, high) if low < high else (low - room / 2, high + room / 2)


def _framed(title: str, over: str, x: tuple[float, float], y: tuple[str, str], shapes: list[str]) -> str:
    """Return shapes in a frame with the ends of both axes."""
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    frame = f'<path d="M{LEFT} {TOP}V{low}H{right}" stroke="currentColor" fill="none" opacity="0.5"/>'
    words = [
        f'<text x="{LEFT}" y="{TOP - 7}" {_FONT}>{escape(title)}</text>',
        f'<text x="{LEFT - 4}" y="{TOP + 6}" text-anchor="end" {_FONT}>{y[1]}</text>',
        f'<text x="{LEFT - 4}" y="{low}" text-anchor="end" {_FONT}>{y[0]}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 4}" {_FONT}>{over} {x[0]:.6g}</text>',
        f'<text x="{right}" y="{HEIGHT - 4}" text-anchor="end" {_FONT}>{x[1]:.6g}</text>',
    ]
    words = words if x[0] < x[1] else words[:-1]
    told = f"{title}: from {y[0]} to {y[1]}, over {over} {x[0]:.6g} to {x[1]:.6g}"
    return _svg(WIDTH, HEIGHT, told, [frame, *shapes, *words])


def _svg(width: int, height: int, title: str, shapes: Iterable[str]) -> str:
    words = escape(title)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{words}" {size} style="vertical-align:middle">'
    )
    return f"{head}<title>{words}</title>{''.join(shapes)}</svg>"
