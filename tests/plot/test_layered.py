"""Heat maps of layers: the cells, their order, their scale, and what has no value."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LogNorm, SymLogNorm

import scalecurv as sc
from scalecurv.errors import Misuse

LAYERS = ("stem", "block.9", "block.10", "head")  # in the order of the model, which no alphabet has


def tidy(values: np.ndarray, run: str = "/runs/a", width: float = 0.0) -> pd.DataFrame:
    """Return a frame of `long` whose layers at steps 0, 5, ... have these values, of shape (layers, steps)."""
    rows = [
        {"run": run, "checkpoint": f"{run}/{j}", "step": 5 * j, "component": layer, "value": value}
        for j, column in enumerate(values.T)
        for layer, value in zip(LAYERS, column, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(quantity="trace", lr=0.1 if run.endswith("a") else 0.2)
    return frame.assign(lower=frame["value"] - width * frame["value"].abs(), upper=frame["value"] * (1 + width))


VALUES = np.array([[1.0, 2.0], [10.0, np.nan], [0.5, 300.0], [4.0, 8.0]])


def test_cells_are_the_values_and_layers_are_in_the_order_of_the_model() -> None:
    axes = sc.plot.layers(tidy(VALUES))
    mesh = axes.collections[0]
    assert np.ma.filled(mesh.get_array(), np.nan) == pytest.approx(VALUES, nan_ok=True)
    assert isinstance(mesh.norm, LogNorm)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.5, 300.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(LAYERS)
    assert axes.yaxis_inverted()
    assert [axes.xaxis.get_major_formatter()(j) for j in range(2)] == ["0", "5"]
    assert sorted(text.get_text() for text in axes.texts) == sorted(["1", "2", "10", "0.5", "300", "4", "8"])
    assert axes.patches[0].get_hatch()
    assert [text.get_text() for text in axes.figure.legends[0].texts] == ["no value"]


def test_values_of_both_signs_are_white_at_zero() -> None:
    mesh = sc.plot.layers(tidy(np.where(VALUES == 1.0, -50.0, VALUES))).collections[0]
    assert isinstance(mesh.norm, SymLogNorm)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-300.0, 300.0)
    assert mesh.cmap(mesh.norm(0.0))[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)


def test_wide_intervals_are_marked() -> None:
    assert len(sc.plot.layers(tidy(VALUES, width=0.19)).collections) == 1
    axes = sc.plot.layers(tidy(VALUES, width=0.21))
    assert len(axes.collections[1].get_offsets()) == np.isfinite(VALUES).sum()
    assert "± 20%" in axes.figure.legends[0].texts[1].get_text()


def test_runs_share_one_scale_and_conditions_choose() -> None:
    both = pd.concat([tidy(VALUES), tidy(10 * VALUES, "/runs/b")])
    panels = sc.plot.layers(both)
    assert [axes.get_title(loc="left") for axes in panels] == ["a", "b"]
    assert {axes.collections[0].norm.vmax for axes in panels} == {3000.0}
    for choice in ({"run": "b"}, {"where": "lr = 0.2"}):
        mesh = sc.plot.layers(both, **choice).collections[0]
        assert np.ma.filled(mesh.get_array(), np.nan) == pytest.approx(10 * VALUES, nan_ok=True)
    assert sc.plot.layers(both, where="step = 5", run="a").collections[0].get_array().shape == (4, 1)


def test_refusals_say_what_is_there() -> None:
    with pytest.raises(Misuse, match="those of layers are trace"):
        sc.plot.layers(tidy(VALUES), "loss")
    with pytest.raises(Misuse, match="--measure moments"):
        sc.plot.layers(tidy(VALUES).assign(component=""))
    with pytest.raises(Misuse, match="frame of its table long"):
        sc.plot.layers(pd.DataFrame({"step": [0], "trace": [1.0]}))


def test_zero_has_the_colour_of_the_smallest_and_is_no_gap() -> None:
    axes = sc.plot.layers(tidy(np.where(VALUES == 1.0, 0.0, VALUES)))
    axes.figure.canvas.draw()
    colors = axes.collections[0].get_facecolors().reshape(4, 2, 4)
    assert colors[0, 0] == pytest.approx(colors[2, 0])  # 0 and 0.5, the smallest
    assert colors[0, 0, 3] == 1.0


def test_a_narrow_picture_has_no_number_wider_than_its_cell() -> None:
    wide = np.arange(40.0).reshape(4, 10) + 10.25
    steps = [
        tidy(wide[:, j : j + 1]).assign(step=1000 * j, fingerprint=f"f{j}", checkpoint=f"{j}.pt") for j in range(10)
    ]
    frame = pd.concat(steps, ignore_index=True)
    assert len(sc.plot.layers(frame, size=(7, 4)).texts) == 40
    axes = sc.plot.layers(frame, size=(3.3, 2.6))
    assert not axes.texts
    axes.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(boxes) >= 2
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
