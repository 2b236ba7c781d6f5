"""Lines told apart: no two look the same, names are shown as they are, and no legend is longer than its figure."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

import scalecurv as sc
from scalecurv.plot.attributes import in_order
from scalecurv.plot.canvas import figure_of, remarks
from scalecurv.plot.encoding import encode
from scalecurv.plot.selection import select
from scalecurv.plot.style import PALETTE
from tests.plot.frames import frame, lines_of, study, words_of

TRAPS = (
    "<script>",
    "$a_1$ cost $5",
    "_hidden",
    "größe β",
    "100% \\alpha {x}",
    "a" * 45 + "1" + "a" * 45,
    "a" * 45 + "2" + "a" * 45,
)


def runs(count: int, **attributes: Any) -> pd.DataFrame:
    parts = []
    for i in range(count):
        value = np.array([1.0, 2.0, 4.0]) + i
        own = {name: of(i) for name, of in attributes.items()}
        parts.append(frame([0, 1, 2], f"/runs/run{i}", trace=(value, value - 1, value + 1), **own))
    return pd.concat(parts, ignore_index=True)


def looks(rows: pd.DataFrame, color: str | None = None, style: str | None = None, most: int = 30) -> list[Any]:
    found = encode(select(rows), color, style, most)
    return [
        (str(np.round(line.look.color, 9) if found.bar else line.look.color), line.look.dash) for line in found.lines
    ]


def test_no_two_lines_look_the_same() -> None:
    for count in (1, 2, 8, 9, 16, 30, 31, 40, 100):
        found = looks(runs(count))
        assert len(found) == count
        assert len(set(found)) == count, count
    assert len(set(looks(study()))) == 6
    assert len(set(looks(runs(40, width=lambda i: 2**i), color="width"))) == 40
    assert len(set(looks(runs(12, a=lambda i: i // 4, b=lambda i: f"x{i % 4}")))) == 12


def test_the_legend_is_never_longer_than_the_figure() -> None:
    for count in (2, 12, 25, 60, 100):
        axes = sc.plot.trajectories(runs(count), "trace")
        figure = figure_of(axes)
        figure.draw_without_rendering()
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.height <= figure.bbox.height, count
            assert not box.overlaps(axes.get_window_extent())  # outside
        named = [word for word in words_of(axes) if word.startswith("run")]
        assert len(named) == (count if count <= 12 else 0)


def test_many_numbers_are_shades_with_a_bar_and_few_are_colours_in_order() -> None:
    many = encode(select(runs(8, width=lambda i: 2.0**i)), "width", None, 30)
    assert many.bar is not None
    assert (many.bar.label, many.bar.norm.vmin, many.bar.norm.vmax, many.entries) == ("width", 1, 128, [])
    few = encode(select(runs(6, lr=lambda i: [10.0, 2.0, 0.5][i % 3])), "lr", None, 30)
    assert [entry.label for entry in few.entries] == ["lr", "0.5", "2", "10"]
    names = encode(select(runs(100)), None, None, 20)
    assert names.bar is not None
    assert names.bar.label == "run (100)"
    assert names.bar.ticks is not None
    assert names.bar.ticks[0.0] == "run0"
    assert names.bar.ticks[99.0] == "run99"  # by the number, not the letters


def test_values_are_in_order() -> None:
    assert in_order(pd.Series([10, 2, None, 2.5])) == [2, 2.5, 10, None]
    assert in_order(pd.Series(["run10", "run9", "a", None])) == ["a", "run9", "run10", None]


def test_every_name_is_shown_as_it_is() -> None:
    parts = [frame([0, 1], f"/r/{i}", trace=[1.0, 2.0 + i], name=name) for i, name in enumerate(TRAPS)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = sc.plot.trajectories(pd.concat(parts), "trace", color="name", title="$K_1$ & 100% of $x")
        figure_of(axes).draw_without_rendering()
    shown = [text.replace(r"\$", "$") for text in words_of(axes)][1:]
    assert {text for text in shown if text[0] != "…"} == set(TRAPS[:-2])
    assert {text[7] for text in shown if text[0] == "…"} == {"1", "2"}  # long names, from where they differ
    assert axes.get_title(loc="left") == r"\$K_1\$ & 100% of \$x"  # three dollars enclose no formula


def test_an_attribute_that_tells_nothing_apart_is_said() -> None:
    axes = sc.plot.trajectories(study(), "loss", color="lr", style="seed")
    assert remarks(figure_of(axes)) == ["every line has the same seed (0); run_seed differs between runs"]


def test_what_differs_is_shown_where_nothing_is_asked() -> None:
    two_seeds = pd.concat([runs(1).assign(seed=s) for s in (1, 2)])
    assert words_of(sc.plot.trajectories(two_seeds, "trace")) == ["seed", "1", "2"]
    both = pd.concat([runs(3).assign(seed=s) for s in (1, 2)])
    assert words_of(sc.plot.trajectories(both, "trace"))[0] == "run0, seed 1"
    assert words_of(sc.plot.trajectories(runs(1), "trace")) == []
    query = study().drop(columns=["run", "checkpoint", "task_id", "dtype", "seed", "status"])  # as of a SQL query
    assert words_of(sc.plot.trajectories(query, "lambda_max")) == ["lr", "0.05", "0.1", "0.2", "run_seed", "0", "1"]


def test_colours_by_an_expression() -> None:
    axes = sc.plot.trajectories(study(), "loss", color="lr > 0.07")
    assert words_of(axes) == ["lr > 0.07", "False", "True"]


def test_an_attribute_that_is_called_line_is_like_any_other() -> None:
    rows = pd.concat([frame([0, 9], f"/runs/{run}", rank=[rank, rank + 1]) for run, rank in (("a", 1), ("b", 5))])
    panels = sc.plot.rank_profile(rows.assign(line="x"))
    assert [lines_of(axes) for axes in panels] == [[[(0, 1), (9, 2)]], [[(0, 5), (9, 6)]]]


def test_names_are_in_the_order_of_the_numbers_in_them() -> None:
    names = ["lr0.1", "lr0.0127", "lr0.01", "lr1e-3", "step10", "step2"]
    assert in_order(pd.Series(names)) == ["lr1e-3", "lr0.01", "lr0.0127", "lr0.1", "step2", "step10"]


def test_a_legend_below_is_no_wider_than_the_figure() -> None:
    axes = sc.plot.trajectories(study(), "lambda_max", size=(3.3, 2.4))
    figure = figure_of(axes)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert (box.x0 >= 0, box.x1 <= figure.bbox.x1) == (True, True)
    geometric = sc.plot.trajectories(frame([0, 1, 10, 100, 1000], loss=[5.0, 4, 3, 2, 1]), "loss")
    assert geometric.get_xlim()[0] < 0  # the marker at step 0 is whole
    assert min(geometric.get_xticks()) == 0


DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


def test_colours_differ_for_every_eye() -> None:
    """The two common kinds of colour blindness are those of Machado, Oliveira and Fernandes (2009); CIE L*a*b*."""
    linear = np.array([[(part / 255 + 0.055) / 1.055 for part in bytes.fromhex(color[1:])] for color in PALETTE]) ** 2.4
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    for seen in (np.eye(3), np.array(DEUTERANOPIA), np.array(PROTANOPIA)):
        x, y, z = np.cbrt(np.clip(linear @ seen.T, 1e-3, 1) @ to_xyz.T / [0.9505, 1, 1.089]).T
        lab = np.stack([116 * y, 500 * (x - y), 200 * (y - z)], axis=1)
        apart = np.linalg.norm(lab[:, None] - lab, axis=2) + 100 * np.eye(len(lab))
        assert apart.min() > 15, [PALETTE[i] for i in np.unravel_index(apart.argmin(), apart.shape)]
