"""The gallery: every script runs on the store that is shipped with it and shows the numbers of that store."""

import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes

import scalecurv as sc
from scalecurv.plot.ranks import PARTS

GALLERY = Path(__file__).parents[1] / "examples" / "gallery"
STORE = GALLERY / "store"
SCRIPTS = sorted(path.stem for path in GALLERY.glob("*.py") if not path.stem.startswith("make_"))
LINES = 12  # of a script, below its docstring
store = sc.open_store(STORE)


def drawn(name: str, folder: Path) -> Any:
    """Run a script as its reader does; return the axes that it drew."""
    picture = folder / f"{name}.png"
    arguments, sys.argv = sys.argv, [name, str(STORE), str(picture)]
    try:
        with warnings.catch_warnings(), rc_context({"savefig.dpi": 40}):  # coarse, which takes a fifth of the time
            warnings.simplefilter("error")
            axes = runpy.run_path(str(GALLERY / f"{name}.py"))["axes"]
    finally:
        sys.argv = arguments
    assert picture.read_bytes().startswith(b"\x89PNG")
    return axes


def points(axes: Axes) -> set[tuple[float, float]]:
    """Return the corners of all lines and all points of a panel, rounded to six digits."""
    corners = [np.asarray(line.get_xydata(), dtype=float) for line in axes.lines if len(line.get_xdata())]
    corners += [np.asarray(one.get_offsets(), dtype=float) for one in axes.collections]
    return {(float(f"{x:.6g}"), float(f"{y:.6g}")) for x, y in np.concatenate(corners)}


def pairs(query: str) -> set[tuple[float, float]]:
    return {(float(f"{x:.6g}"), float(f"{y:.6g}")) for x, y in store.sql(query).to_numpy(dtype=float)}


def test_there_is_a_script_for_every_picture() -> None:
    text = "".join((GALLERY / f"{name}.py").read_text() for name in SCRIPTS)
    assert [name for name in sc.plot.__all__ if f"sc.plot.{name}(" not in text] == []
    for name in SCRIPTS:
        body = (GALLERY / f"{name}.py").read_text().rpartition('"""')[2].strip().splitlines()
        assert len(body) <= LINES, name


def test_the_store_is_small_and_names_no_machine() -> None:
    assert sum(path.stat().st_size for path in STORE.iterdir()) < 600_000
    tables = [store.table(name) for name in ("checkpoints", "files", "runs", "tasks", "provenance")]
    texts = [str(value) for table in tables for value in table.to_numpy().ravel()]
    paths = [text for text in texts if text.startswith("/")]
    assert paths
    assert all(path.startswith("/runs/") for path in paths)
    assert set(store.table("provenance")["host"]) == {""}


def test_pictures_over_steps(tmp_path: Path) -> None:
    quantities = ("trace", "lambda_max", "scalar_curvature", "rank")
    for axes, name in zip(drawn("trajectories", tmp_path), quantities, strict=True):
        assert pairs(f"select step, {name} from results") <= points(axes)
    edge = drawn("edge_of_stability", tmp_path)
    assert pairs("select step, lambda_max * lr / 2 from results") <= points(edge)
    for axes, run in zip(drawn("bracket", tmp_path), sorted(store.results()["run"].unique()), strict=True):
        assert pairs(f"select step, scalar_curvature from results where run = '{run}'") <= points(axes)
    for axes, run in zip(drawn("rank_profile", tmp_path), ("/runs/lr0.2_seed0", "/runs/lr0.2_seed1"), strict=True):
        for name in ("rank", "rank_1e2", "rank_1e3", "rank_1e6"):
            assert pairs(f"select step, {name} from results where run = '{run}'") <= points(axes)


def test_pictures_of_checkpoints(tmp_path: Path) -> None:
    assert pairs("select rank, scalar_curvature from results") <= points(drawn("against", tmp_path))
    heights = {height for _, height in points(drawn("compare", tmp_path))}
    assert {value for _, value in pairs("select 0, trace from results where step = 10000")} <= heights
    links = store.sql(
        "select value from long where run = '/runs/lr0.1_seed0' and step = 10000 and quantity like 'chain_%'"
        " order by quantity"
    )["value"]
    places = [line.get_xdata()[0] for line in drawn("chain", tmp_path).lines if str(line.get_gid()).startswith("chain")]
    assert places == pytest.approx(links.tolist())


def test_pictures_by_columns(tmp_path: Path) -> None:
    runs = sorted(store.results()["run"].unique())
    for axes, run in zip(drawn("account", tmp_path), runs, strict=True):
        parts = store.sql(f"select {', '.join(PARTS)}, num_params from results where run = '{run}' order by step")
        tops = [patch.get_data()[0] for patch in axes.patches]
        assert np.diff(tops, axis=0, prepend=np.zeros((1, 8))).tolist() == parts[list(PARTS)].T.to_numpy().tolist()
        assert tops[-1].tolist() == parts["num_params"].tolist()
    for axes, run in zip(drawn("layers", tmp_path), runs, strict=True):
        rows = store.sql(
            f"select step, component, value from long where run = '{run}' and quantity = 'trace' and component != ''"
        )
        cells = rows.pivot(index="component", columns="step", values="value").loc[["0", "2", "4"]]
        assert np.asarray(axes.collections[0].get_array()) == pytest.approx(cells.to_numpy(dtype=float))


def test_pictures_of_the_spectrum(tmp_path: Path) -> None:
    single = drawn("spectrum_single", tmp_path)
    (curve,) = (line.get_xydata() for line in single.lines if line.get_gid() == "density")
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(1, abs=1e-5)
    mean = store.sql("select trace / num_params as mean from results where run = '/runs/lr0.1_seed0' and step = 10000")
    assert np.trapezoid(curve[:, 0] * curve[:, 1], curve[:, 0]) == pytest.approx(mean["mean"][0], rel=0.3)
    ridges = drawn("spectrum_ridge", tmp_path)
    assert [label.get_text() for label in ridges.get_yticklabels()][-1] == "0"
    for axes, run in zip(drawn("spectrum_heat", tmp_path), ("lr0.1_seed0", "lr0.2_seed0"), strict=True):
        mesh = axes.collections[0]
        edges = np.asarray(mesh.get_coordinates()[:, 0, 1])
        masses = np.asarray(mesh.get_array().filled(0.0)).T @ np.diff(edges)
        assert masses == pytest.approx(np.ones(8), abs=1e-4), run
        ends = store.sql(
            f"select (lambda_max_lower + lambda_max_upper) / 2 as top from results where run = '/runs/{run}'"
            " order by step"
        )
        (marks,) = (np.asarray(one.get_offsets()) for one in axes.collections if one.get_gid() == "largest")
        assert marks[:, 1] == pytest.approx(ends["top"].to_numpy())


def test_a_script_runs_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, str(GALLERY / "account.py"), str(STORE), str(tmp_path / "account.svg")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "account.svg").read_text().startswith("<?xml")


def test_the_legend_says_how_sure_the_intervals_are() -> None:
    """Eigenvalues hold to 99.9 %, sampled traces to 95 %, and where both are drawn it is from one to the other."""
    words = {"lambda_max * lr / 2": "intervals: 99.9 %, within the lines", "trace": "intervals: 95 %"}
    for quantity, wanted in words.items():
        (legend,) = sc.plot.trajectories(store, quantity).figure.legends
        assert legend.get_texts()[-1].get_text() == wanted
    (legend,) = sc.plot.trajectories(store, ["trace", "lambda_max"])[0].figure.legends
    assert legend.get_texts()[-1].get_text() == "intervals: 95 to 99.9 %"
