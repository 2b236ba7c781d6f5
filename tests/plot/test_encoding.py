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
