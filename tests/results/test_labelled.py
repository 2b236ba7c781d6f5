"""A Dataset of xarray holds the numbers of `results`, wherever they lie in it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray

from scalecurv.errors import Misuse
from scalecurv.record import Outcome
from scalecurv.results.query import Store, open_store
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from tests.outcomes import exactly, failure, outcome, record, sampled, store_of

ENDS = ("", "_lower", "_upper", "_stderr")


def point(path: str, trace: float, **fields: Any) -> Outcome:
    found = {("trace", ""): sampled(trace, trace / 10), **exactly(rank=int(trace))}
    return outcome(path, record(f"{path} {fields}", found), **fields)


GRID = (
    point("/runs/b/step_0.pt", 1.5, epoch=0.5),
    point("/runs/a/step_10.pt", 2.5),
    point("/runs/a/step_0.pt", 3.5),
    point("/runs/b/step_20.pt", 4.5),
    failure("/runs/a/step_30.pt", step=30),
)
NO_STEP = point("/runs/b/best.pt", 5.5)


def store_with(folder: Path, *outcomes: Outcome) -> Store:
    store = store_of(folder, *outcomes)
    rows = (run_row("/runs/a", {"lr": 0.1, "warm": True, "tag": "x"}, 1.0), run_row("/runs/b", {"lr": 0.2}, 1.0))
    write_labels(store, LabelChanges(runs=rows))
    return open_store(store)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_with(tmp_path_factory.mktemp("labelled") / "store", *GRID)


def assert_same(cells: np.ndarray, column: pd.Series) -> None:
    np.testing.assert_array_equal(cells, column.astype(float).to_numpy())


def test_runs_and_steps_are_dimensions(store: Store) -> None:
    data = store.to_xarray()
    assert dict(data.sizes) == {"run": 2, "step": 3}
    assert data["run"].values.tolist() == ["/runs/a", "/runs/b"]
    assert (data["step"].values.tolist(), data["step"].dtype) == ([0, 10, 20], np.int64)
    assert set(data.data_vars) == {name + end for name in ("trace", "rank") for end in ENDS}
    rows = store.results(all_columns=True)
    rows = rows[rows["status"] != "failed"]
    for name, variable in data.items():
        assert (variable.dims, variable.dtype) == (("run", "step"), np.float64)
        found = [variable.sel(run=row.run, step=row.step).item() for row in rows.itertuples()]
        assert_same(np.array(found), rows[name])
    assert data["trace"].isnull().sum() == 2  # of six cells


def test_facts_and_attributes_are_coordinates(store: Store) -> None:
    data = store.to_xarray()
    assert data["lr"].dims == ("run",)
    assert data["lr"].values.tolist() == [0.1, 0.2]
    assert data["warm"].values.tolist() == [True, None]
    assert data["tag"].values.tolist() == ["x", ""]
    assert data["trace"].swap_dims(run="lr").sel(lr=0.2, step=20).item() == 4.5
    one = data.sel(run="/runs/b", step=0)
    assert (one["checkpoint"].item(), one["epoch"].item(), one["status"].item()) == ("/runs/b/step_0.pt", 0.5, "ok")
    assert data.sel(run="/runs/a", step=20)["checkpoint"].item() == ""
    assert (data["task_id"].item(), data["dtype"].item(), data["seed"].item()) == ("t1", "float32", 0)


def test_units_and_meanings(store: Store) -> None:
    data = store.to_xarray("trace")
    assert set(data.data_vars) == {"trace" + end for end in ENDS}
    assert data["trace"].attrs == {"long_name": "T = tr H, the trace of the Hessian", "units": "loss/theta^2"}
    assert data["trace_lower"].attrs["long_name"].startswith("lower end of the interval of T = tr H")
    assert data["step"].attrs == {"long_name": "training step", "units": "1"}
    assert data.attrs["title"] == f"results of {store.path}"


def test_every_row_is_there_by_checkpoint(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", *GRID, NO_STEP)
    data, rows = store.to_xarray(by="checkpoint"), store.results()
    assert dict(data.sizes) == {"checkpoint": 6}
    for name in rows:
        cells = data[name].values
        if name in data.data_vars:
            assert_same(cells, rows[name])
        else:
            same = [(pd.isna(a) or a == "") if pd.isna(b) else a == b for a, b in zip(cells, rows[name], strict=True)]
            assert all(same), name
    assert np.isnan(data["step"].values).sum() == 1
    with pytest.raises(Misuse, match=r"^1 checkpoint\(s\) have no step: /runs/b/best.pt; give where='step is"):
        store.to_xarray()
    without = store_with(tmp_path / "without", *GRID).to_xarray()
    xarray.testing.assert_equal(store.to_xarray(where="step is not null"), without)


def test_seeds_and_tasks_are_dimensions_where_there_are_several(tmp_path: Path) -> None:
    found = [point("/runs/a/step_0.pt", 1.0 + seed, seed=seed, task_id=task) for seed, task in ((0, "t1"), (3, "t2"))]
    store = open_store(store_of(tmp_path / "store", *found))
    data = store.to_xarray(["trace"])
    assert dict(data.sizes) == {"run": 1, "step": 1, "task_id": 2, "seed": 2}
    assert data["trace"].sel(seed=3, task_id="t2", step=0).item() == 4.0
    assert data["trace"].isnull().sum() == 2
    assert dict(store.to_xarray(where="seed = 3").sizes) == {"run": 1, "step": 1}


def test_what_the_dimensions_do_not_tell_apart_is_said(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", *GRID, point("/runs/a/best_10.pt", 6.0))
    with pytest.raises(Misuse) as caught:
        store.to_xarray()
    assert str(caught.value) == (
        "2 checkpoints of run /runs/a are of step 10: /runs/a/best_10.pt, /runs/a/step_10.pt; "
        "choose with where=, or give by='checkpoint' to keep them"
    )
    assert store.to_xarray(where="checkpoint not like '%best%'")["trace"].sel(run="/runs/a", step=10).item() == 2.5
    for asked, message in [
        ({"quantities": ["trace", "sharp"]}, "no quantity sharp in results; there are loss, grad_norm, "),
        ({"by": "run"}, "by is 'run'; give one of step, checkpoint"),
        ({"where": "sharp > 1"}, "the condition 'sharp > 1' does not run: "),
        ({"where": "step"}, "the condition 'step' gives "),
    ]:
        with pytest.raises(Misuse) as caught:
            store.to_xarray(**asked)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


def test_a_quantity_that_no_checkpoint_has_is_nan_and_an_empty_store_is_empty(store: Store, tmp_path: Path) -> None:
    assert store.to_xarray(["loss"])["loss"].isnull().all()
    empty = open_store(store_of(tmp_path / "store"))
    for by in ("step", "checkpoint"):
        assert empty.to_xarray(by=by).sizes["step" if by == "step" else by] == 0


def test_a_dataset_goes_to_a_file_and_back(store: Store, tmp_path: Path) -> None:
    data = store.to_xarray().drop_vars("warm")  # of texts and nulls, which no file of netCDF holds
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as back:
        for name in data.data_vars:
            np.testing.assert_array_equal(back[name].values, data[name].values)


def test_without_xarray_one_line_says_what_to_install(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(Misuse, match=r"^to_xarray needs xarray; run `pip install xarray`$"):
        store.to_xarray()


def test_own_quantities_come_too(tmp_path: Path) -> None:
    own = outcome("/a/step_1.pt", replace(record("k", exactly(mine=4)), measure="own"))
    assert open_store(store_of(tmp_path / "store", own)).to_xarray()["mine"].item() == 4
