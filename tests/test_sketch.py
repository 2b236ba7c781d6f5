"""Drawings in notebooks lie where the numbers are, say in words what they show, and are well-formed markup."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from scalecurv.results.density import EVERY, SpectralRule, density
from scalecurv.sketch import BOTTOM, HEIGHT, LEFT, MARGIN, RIGHT, STRIP, TOP, WIDTH, bars, interval, panel
from scalecurv.statistics.estimate import NAN, Estimate, Status

SVG = "{http://www.w3.org/2000/svg}"
INFINITE = math.inf


def drawn(text: str) -> ElementTree.Element:
    """Return the one drawing in a text, whose title is its label for screen readers."""
    (markup,) = re.findall(r"<svg.*?</svg>", text)
    svg = ElementTree.fromstring(markup)
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-label"] == svg.findtext(f"{SVG}title")
    colours = {part.attrib[kind] for part in svg.iter() for kind in ("fill", "stroke") if kind in part.attrib}
    assert colours <= {"currentColor", "none"}  # so that it is seen on light and on dark pages
    return svg


def parts(svg: ElementTree.Element) -> tuple[float, float, float, float, int]:
    """Return the places of 0 and of the dot, both ends of the bar (NaN without one), and the number of arrows."""
    paths = [path.attrib["d"] for path in svg.iter(f"{SVG}path")]
    (zero,) = re.findall(r"M([\d.]+) [\d.]+v10", paths[0])
    (dot,) = (float(circle.attrib["cx"]) for circle in svg.iter(f"{SVG}circle"))
    boxes = [(float(box.attrib["x"]), float(box.attrib["width"])) for box in svg.iter(f"{SVG}rect")]
    start, length = boxes[0] if boxes else (NAN, NAN)
    return float(zero), dot, start, start + length, len(paths) - 1


def test_intervals_lie_on_an_axis_with_zero() -> None:
    width = STRIP - 2 * MARGIN
    for value, lower, upper in [(4, 3, 5), (-4, -5, -3), (1, -1, 2), (1e-300, 0, 2e-300), (8e307, -1e308, 1.6e308)]:
        zero, dot, start, end, arrows = parts(drawn(interval(value, lower, upper)))
        low, high = min(0, lower), max(0, upper)
        for place, number in ((zero, 0), (dot, value), (start, lower), (end, upper)):
            assert place == pytest.approx(MARGIN + (number / 2 - low / 2) / (high / 2 - low / 2) * width, abs=0.11)
        assert arrows == 0


def test_open_ends_are_arrows_and_short_bars_are_seen() -> None:
    zero, dot, start, end, arrows = parts(drawn(interval(5, 5, INFINITE)))
    assert zero < dot == start < end
    assert arrows == 1
    zero, dot, start, end, arrows = parts(drawn(interval(5, -INFINITE, INFINITE)))
    assert start < zero < dot < end
    assert arrows == 2
    _, dot, start, end, _ = parts(drawn(interval(100, 99.999, 100.001)))
    assert end - start == 2
    assert start < dot < end
    for value in (0.0, 2.5):
        *_, start, _, arrows = parts(drawn(interval(value, value, value)))
        assert math.isnan(start)
        assert arrows == 0
    for value in (NAN, INFINITE):
        assert interval(value, value, value) == ""


def test_an_estimate_shows_its_line_its_interval_and_its_grounds() -> None:
    for estimate, words, told in [
        (
            Estimate(12.34, 0.025, 12.29, 12.39, 0.95, 9, 9, "a<b", Status.CONVERGED),
            "<code>12.34 +- 0.05 (95 %)</code>",
            "12.34, interval from 12.29 to 12.39; the tick is 0",
        ),
        (Estimate.exact(2.5, "a<b"), "<code>2.5</code>", "2.5, exact; the tick is 0"),
        (
            Estimate.enclosed(5.0, 5.0, INFINITE, "a<b", Status.LOWER_BOUND),
            "<code>&gt;= 5</code>",
            "5, interval from 5 to inf; the tick is 0",
        ),
        (
            Estimate(5.0, INFINITE, -INFINITE, INFINITE, 0.95, 1, 1, "a<b", Status.BUDGET),
            "<code>5 +- inf (95 %)</code>",
            "5, interval from -inf to inf; the tick is 0",
        ),
        (Estimate.failed("a<b"), "<code>failed</code>", None),
        (Estimate.not_applicable("a<b"), "<code>not applicable</code>", None),
    ]:
        html = estimate._repr_html_()
        assert html.startswith(words)
        assert html.endswith(f"<code>{estimate.status.value}: a&lt;b</code>")
        assert ("<svg" in html) == (told is not None)
        if told is not None:
            assert drawn(html).attrib["aria-label"] == told


def places(svg: ElementTree.Element) -> tuple[list[tuple[float, float]], list[list[tuple[float, float]]]]:
    """Return (bottom, top) of each interval, and the points of each line."""
    _, intervals, lines, _ = (path.attrib["d"] for path in svg.iter(f"{SVG}path"))
    ends = [(float(a), float(b)) for a, b in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", intervals)]
    found = [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", one)] for one in lines.split("M")[1:]]
    return ends, found


def test_lines_lie_where_their_points_are() -> None:
    one = [(0.0, 1.0, 0.5, 2.0), (50.0, 3.0, 3.0, 3.0), (100.0, 2.0, -9.0, INFINITE)]
    other = [(0.0, 2.0, 2.0, 2.0), (40.0, NAN, NAN, NAN), (100.0, 1.0, NAN, NAN)]
    svg = drawn(panel("<K>", [one, other]))
    ends, lines = places(svg)
    low, high = -1.0, 5.0  # the values from 1 to 3, widened by as much at either end for an interval that is open
    tall, wide = HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT
    for line, given in zip(lines, (one, [other[0], other[2]]), strict=True):
        for (x, y), point in zip(line, given, strict=True):
            assert x == pytest.approx(LEFT + point[0] / 100 * wide, abs=0.06)
            assert y == pytest.approx(HEIGHT - BOTTOM - (point[1] - low) / (high - low) * tall, abs=0.06)
    assert len(ends) == 2
    assert ends[1] == (HEIGHT - BOTTOM, TOP)  # cut at the frame
    assert svg.attrib["aria-label"] == "<K>: from -1 to 5, over step 0 to 100"
    assert [text.text for text in svg.iter(f"{SVG}text")] == ["<K>", "5", "-1", "step 0", "100"]


def test_positive_values_of_many_sizes_are_on_a_logarithmic_scale() -> None:
    svg = drawn(panel("K", [[(i, 10.0**i, 10.0**i, 10.0**i) for i in range(5)]]))
    _, ((*points,),) = places(svg)
    assert {round(after[1] - before[1], 1) for before, after in pairwise(points)} == {-(HEIGHT - TOP - BOTTOM) / 4}
    assert svg.findtext(f"{SVG}text") == "K, log scale"
    for values in ([1, 99], [-1, 1e6]):
        assert "log" not in panel("K", [[(i, v, v, v) for i, v in enumerate(values)]])


def test_single_and_constant_points_have_a_place() -> None:
    for values in ([0.0], [7.0, 7.0], [-3.0]):
        _, ((*points,),) = places(drawn(panel("K", [[(i, v, v, v) for i, v in enumerate(values)]])))
        assert all(y == pytest.approx((TOP + HEIGHT - BOTTOM) / 2) for _, y in points)
    assert panel("K", [[(0, NAN, NAN, NAN)], []]) == ""


def test_bars_add_up_where_they_share_a_pixel() -> None:
    svg = drawn(bars("weights", [0.0, 1e-9, 1.0], [0.2, 0.3, 0.05], "eigenvalue"))
    path = list(svg.iter(f"{SVG}path"))[1].attrib["d"]
    tall = [float(height) for height in re.findall(r"v-([\d.]+)", path)]
    expected = [math.log(weight / 0.025) / math.log(0.5 / 0.025) * (HEIGHT - TOP - BOTTOM) for weight in (0.5, 0.05)]
    assert tall == pytest.approx(expected, abs=0.06)


def test_a_rule_and_a_density_are_drawn() -> None:
    rule = SpectralRule(np.array([-1.0, 3.0]), np.array([0.2, 0.8]), np.array([EVERY, EVERY]))
    assert "weights, log scale: from 0.1 to 0.8, over eigenvalue -1 to 3" in rule._repr_html_()
    curve = density(rule, width=0.5)
    _, ((*points,),) = places(drawn(curve._repr_html_()))
    peak = min(points, key=lambda point: point[1])[0]
    share = (3.0 - curve.grid[0]) / (curve.grid[-1] - curve.grid[0])
    assert peak == pytest.approx(LEFT + share * (WIDTH - LEFT - RIGHT), abs=1)


def test_names_of_ends_lie_within_the_picture() -> None:
    svg = drawn(panel("K", [[(0, -3.14e104, NAN, NAN), (1, 2.0, NAN, NAN)]]))
    ends = [text for text in svg.iter(f"{SVG}text") if text.attrib.get("text-anchor") == "end"]
    assert all(float(text.attrib["x"]) >= 5.6 * len(text.text or "") for text in ends)  # of 10 pixels, sans-serif
