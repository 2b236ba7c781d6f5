"""A table as a file of another kind holds what the table holds, whoever reads it."""

import csv
import io
import re
import resource
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray

from scalecurv import __version__
from scalecurv.errors import Misuse, StoreError
from scalecurv.quantities import Quantity
from scalecurv.results.export import export
from scalecurv.results.query import Store, open_store
from scalecurv.results.tables import NAMES
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.store.flat import encode_flat
from scalecurv.store.labels import LabelChanges, move_row, run_row, write_labels
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of

UNBOUNDED = Estimate(7.0, NAN, 7.0, float("inf"), 1.0, 0, 9, "sketch", Status.LOWER_BOUND)
RUNS = [
    outcome(
        '/runs/a/über, "1"\nstep_2.pt',
        record("k1", {("trace", ""): sampled(1 / 3, 0.5), ("trace", "fc1"): sampled(3.0, 0.5), **exactly(rank=5)}),
        record("k2", {("rank_1e2", ""): UNBOUNDED, ("chain_1", ""): Estimate.not_applicable("no interpolation")}),
        epoch=0.1,
    ),
    outcome(
        "/runs/a/best.pt",
        record("k3", {("loss", ""): FAILED, **exactly(mine=4)}, ritz=[1.0, 2.0], none=[]),
        status="partial",
        quantities=((Quantity("mine", "what I count", integer=True, unit="loss"), "pkg.mod:Mine"),),
    ),
    failure("/runs/b/step_1.pt", "", step=1),
]
ATTRIBUTES = {"/runs/a": {"lr": 0.1, "width": 64, "warm": True, "seed": "x"}, "/runs/b": {"lr": 1, "warm": False}}
CHANGES = LabelChanges(
    runs=tuple(run_row(run, found, 1.0) for run, found in ATTRIBUTES.items()),
    moves=(move_row("/old.pt", "/x.pt", 1.0),),
)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = store_of(tmp_path_factory.mktemp("export") / "store", *RUNS)
    write_labels(folder, CHANGES)
    return open_store(folder)


@pytest.fixture(scope="module", name="empty")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(store_of(tmp_path_factory.mktemp("export") / "empty"))


def listed(frame: pd.DataFrame) -> list[list[object]]:
    """Every cell as Python says it: null as None, arrays as lists, floats with every digit."""

    def plain(cell: object) -> object:
        if isinstance(cell, np.ndarray | list):
            return [float(item) for item in cell]
        return None if pd.isna(cell) else cell.item() if isinstance(cell, np.generic) else cell

    return [[plain(cell) for cell in row] for row in frame.astype(object).itertuples(index=False)]


@pytest.mark.parametrize("name", NAMES)
def test_parquet(store: Store, empty: Store, tmp_path: Path, name: str) -> None:
    file, expected = tmp_path / "x.parquet", store.table(name)
    assert export(store, file, name) == len(expected) > 0
    found = duckdb.read_parquet(str(file)).df()
    assert list(found) == list(expected)
    assert listed(found) == listed(expected)
    lines = export(empty, file, name)
    assert lines == len(duckdb.read_parquet(str(file)).df()) == len(empty.table(name))
    assert list(duckdb.read_parquet(str(file)).df()) == list(empty.table(name))


@pytest.mark.parametrize("name", NAMES)
def test_csv(store: Store, empty: Store, tmp_path: Path, name: str) -> None:
    file, expected = tmp_path / "x.csv", store.table(name)
    assert export(store, file, name) == len(expected)
    with open(file, newline="", encoding="utf-8") as lines:
        header, *found = csv.reader(lines)
    assert header == list(expected)
    for row, cells in zip(found, listed(expected), strict=True):
        for text, cell in zip(row, cells, strict=True):
            assert text == ("" if cell is None else str(cell)) or float(text) == cell
    assert export(empty, file, name) == len(empty.table(name))
    assert file.read_text().partition("\n")[0] == ",".join(empty.table(name))


UNITS = {
    ("results", "trace_upper"): ("upper end of the interval of T = tr H, the trace of the Hessian", "loss/theta^2"),
    ("results", "mine"): ("what I count", "loss"),
    ("results", "lr"): ("attribute of the training run", "1"),
    ("results", "checkpoint"): ("absolute path of the checkpoint", "1"),
    ("long", "step"): ("training step", "1"),
    ("long", "method"): ("route by which the number was computed", "1"),
    ("estimates", "seconds"): ("time that the measure took", "s"),
    ("files", "size"): ("size of the file", "byte"),
}


def test_columns_that_are_null_everywhere_are_left_out_unless_asked(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "x.csv", all_columns=True)
    assert list(pd.read_csv(tmp_path / "x.csv")) == list(store.results(all_columns=True))
    assert "lambda_max" not in pd.read_csv(tmp_path / "x.csv").dropna(axis="columns", how="all")
    export(store, tmp_path / "x.csv")
    assert list(pd.read_csv(tmp_path / "x.csv")) == list(store.results())


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, ".nc") for name in NAMES if name != "arrays"), ("checkpoints", ".h5")]
)
def test_netcdf(store: Store, empty: Store, tmp_path: Path, name: str, suffix: str) -> None:
    file, expected = tmp_path / f"x{suffix}", store.table(name)
    assert export(store, file, name) == len(expected)
    with xarray.open_dataset(file, engine="h5netcdf") as dataset:
        told = {"format": "scalecurv-results-table", "title": f"{name} of {store.path}"}
        assert {key: dataset.attrs[key] for key in told} == told
        assert dataset.attrs["source"] == f"scalecurv {__version__}"
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT[\d:+]+ scalecurv export {store.path}", dataset.attrs["history"])
        labels = {"run", "step"} & set(expected) if len(expected.columns) > 3 else {"run"} & set(expected)
        assert set(dataset.coords) == {"row", *labels}
        assert set(dataset.data_vars) == set(expected) - labels
        assert dataset["row"].values.tolist() == list(range(len(expected)))
        for column, values in expected.items():
            variable = dataset[column]
            assert variable.dims == ("row",)
            assert {"units", "long_name"} <= set(variable.attrs)
            if (name, column) in UNITS:
                assert (variable.attrs["long_name"], variable.attrs["units"]) == UNITS[name, str(column)]
            missing = "" if values.dtype.kind == "O" or str(values.dtype).startswith("str") else np.nan
            cells = [missing if pd.isna(cell) else cell for cell in values]
            np.testing.assert_array_equal(variable.values, cells, strict=False)
    lines = export(empty, file, name)
    with h5py.File(file, "r") as bare:
        shapes = {column: variable.shape for column, variable in bare.items()}
        assert shapes == dict.fromkeys(["row", *empty.table(name)], (lines,))


def test_netcdf_types(store: Store, tmp_path: Path) -> None:
    """Whole numbers rest whole, those with nulls under a fill value that none of them can be."""
    export(store, tmp_path / "x.nc")
    with h5py.File(tmp_path / "x.nc", "r") as file:
        assert file["seed"].dtype == file["rank"].dtype == np.dtype("i8")
        assert file["trace"].dtype == np.dtype("f8")
        assert (file["seed"].fletcher32, file["trace"].fletcher32) == (True, True)
        assert "_FillValue" not in file["seed"].attrs
        fill = file["rank"].attrs["_FillValue"]
        assert (fill, fill.dtype) == (-(2**63), np.dtype("i8"))
        assert sorted(file["rank"][...].tolist()) == [-(2**63), -(2**63), 5]
        assert sorted(file["step"][...].tolist()) == [-(2**63), 1, 12]
        assert (file["warm"][...].tolist(), file["warm"].dtype) == ([1, 1, 0], np.dtype("i8"))
        assert file["width"][...].tolist() == [64, 64, -(2**63)]
        assert (file["lr"][...].tolist(), file["run_seed"].asstr()[...].tolist()) == ([0.1, 0.1, 1.0], ["x", "x", ""])


def test_long_columns_come_whole() -> None:
    numbers = np.arange(70_000)
    frame = pd.DataFrame({"i": numbers, "f": numbers / 7, "t": numbers.astype(str).astype(object)})
    with h5py.File(io.BytesIO(encode_flat(frame, {"title": "long"}, {"f": {"units": "s"}})), "r") as file:
        assert file["i"].chunks == (65536,)
        assert np.array_equal(file["i"][...], numbers)
        assert np.array_equal(file["f"][...], numbers / 7)
        assert file["f"].attrs["units"] == "s"
        assert file["t"].asstr()[69_999] == "69999"


def test_arrays_go_into_no_flat_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        export(store, tmp_path / "x.nc", "arrays")
    text = "table arrays has rows of different lengths (values holds no text and no numbers); export it to .parquet"
    assert str(caught.value) == text
    assert not (tmp_path / "x.nc").exists()


@pytest.mark.parametrize(
    ("file", "table", "text"),
    [
        ("x.xlsx", "results", "{}/x.xlsx has no suffix that says what to write; give one of .parquet, .csv, .nc, .h5"),
        ("x", "results", "{}/x has no suffix that says what to write; give one of .parquet, .csv, .nc, .h5"),
        (
            "x.csv",
            "result",
            f"unknown table 'result'; choose from {', '.join(NAMES)}",
        ),
        ("no/x.csv", "results", "{}/no does not exist; give a file in a directory that does"),
    ],
)
def test_what_cannot_be_asked(store: Store, tmp_path: Path, file: str, table: str, text: str) -> None:
    with pytest.raises(Misuse) as caught:
        export(store, tmp_path / file, table)
    assert str(caught.value) == text.format(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
@pytest.mark.parametrize("suffix", [".csv", ".nc"])
def test_a_full_disk_leaves_the_old_file(store: Store, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(StoreError, match=rf"^{tmp_path} cannot be written \(File too large\)"):
            export(store, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(file.name, b"before")]
