"""Tables as bytes and back: nothing lost, nothing silently changed, nothing damaged handed to HDF5."""

import io
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.errors import Misuse
from scalecurv.store import image as module
from scalecurv.store.decode import BrokenFile, decode
from scalecurv.store.frames import Tables, empty_tables, frame_of
from scalecurv.store.image import SEAL, encode
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import TABLES, VERSION
from tests.outcomes import cells, exactly, outcome, record, sampled

# four edges and four points: only the attached scale tells which is which
SAMPLE = rows_of(
    outcome(
        "/runs/a/step_10.pt",
        record("k1", {("trace", ""): sampled(12.3, 0.1), ("trace", "fc1"): sampled(2, 0.1)}, ritz=[1, 2, 3.5], none=[]),
        record("k2", exactly(rank=5), singular_values=[2.5]),
    )
)
WHOLE = encode(SAMPLE)
NUL_FREE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": NUL_FREE,
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(),
    "array": st.lists(st.floats(), max_size=4).map(lambda values: np.array(values, dtype=np.float64)),
}


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    drawn = {}
    for name, columns in TABLES.items():
        length = draw(st.integers(0, 3))
        data = {c.name: draw(st.lists(CELLS[c.kind], min_size=length, max_size=length)) for c in columns}
        drawn[name] = frame_of(data, columns)
    return drawn


@pytest.fixture(scope="module", name="file")
def _file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "part.h5"


def bits(tables: Tables) -> dict[str, bytes]:
    """What == cannot see: the payload of a NaN, the sign of a zero."""
    floats = [(t, c.name) for t, columns in TABLES.items() for c in columns if c.kind == "float"]
    return {f"{table}.{name}": tables[table][name].to_numpy().tobytes() for table, name in floats}


@settings(derandomize=True, deadline=None, max_examples=12, database=None)
@given(tables())
def test_what_goes_in_comes_out(file: Path, given_tables: Tables) -> None:
    file.write_bytes(encode(given_tables))
    found = decode(file)
    assert cells(found) == cells(given_tables)
    assert bits(found) == bits(given_tables)
    for name, frame in found.items():
        assert [kind_of(frame[column]) for column in frame] == [column.kind for column in TABLES[name]]


def kind_of(series: pd.Series) -> str:
    """Text rests as sorted categories, arrays as objects."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        assert series.cat.categories.is_monotonic_increasing
        return "text"
    return {"object": "array", "int64": "int", "float64": "float"}[str(series.dtype)]


def test_empty_tables_have_their_columns(file: Path) -> None:
    file.write_bytes(encode(empty_tables()))
    found = decode(file)
    assert {name: list(frame) for name, frame in found.items()} == {n: [c.name for c in cs] for n, cs in TABLES.items()}
    assert all(len(frame) == 0 for frame in found.values())


def test_any_netcdf_reader_can_open_it(file: Path) -> None:
    file.write_bytes(WHOLE)
    for name, columns in TABLES.items():
        with xarray.open_dataset(file, group=name, engine="h5netcdf") as dataset:
            for column in columns:
                found = dataset[column.name]
                assert found.attrs["units"] == column.units
                assert found.dims == (("point",) if column.kind == "array" else ("row",))
                if column.kind == "array":
                    ragged = [found.values[a:b].tolist() for a, b in pairwise(dataset["offset"].values)]
                    assert dataset["offset"].dims == ("edge",)
                    assert ragged == [values.tolist() for values in SAMPLE[name][column.name]]
                elif column.kind == "text":
                    assert found.attrs["labels"] == "label"
                    assert list(dataset["label"].values[found.values]) == list(SAMPLE[name][column.name])
                else:
                    assert list(found.values) == pytest.approx(list(SAMPLE[name][column.name]), nan_ok=True)


def test_each_text_rests_once_and_sorted() -> None:
    with h5py.File(io.BytesIO(WHOLE), "r") as file:
        for name, columns in TABLES.items():
            texts = {text for c in columns if c.kind == "text" for text in SAMPLE[name][c.name]}
            assert list(file[name]["label"].asstr()[...]) == sorted(texts)


def test_numbers_carry_fletcher32_for_readers_that_know_no_seal() -> None:
    with h5py.File(io.BytesIO(WHOLE), "r") as file:
        for name, columns in TABLES.items():
            for column in columns:
                assert file[name][column.name].fletcher32 == (len(SAMPLE[name]) > 0)


def damage(whole: bytes, kind: str, rng: random.Random) -> bytes:
    start = rng.randrange(len(whole))
    if kind == "flipped":
        return whole[:start] + bytes([whole[start] ^ 1 << rng.randrange(8)]) + whole[start + 1 :]
    if kind == "cut":
        return whole[:start]
    if kind == "zeroed":
        length = len(whole[start : start + 512])
        return whole[:start] + bytes(length) + whole[start + length :]
    return whole + rng.randbytes(1 + rng.randrange(200))


def test_a_content_is_decoded_once_whatever_file_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a caller does to a frame shows in another."""
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    for path in (one, other):
        path.write_bytes(WHOLE)
    frame = dict(decode(one))["estimates"]
    frame["more"] = 1
    frame.loc[0, "value"] = -1.0
    monkeypatch.setattr(module.h5py, "File", None)
    assert cells(decode(other)) == cells(SAMPLE)


@pytest.fixture(name="forbidden")
def _forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*args: Any, **options: Any) -> None:
        raise AssertionError("HDF5 was shown a damaged file, on which it may loop for ever")

    monkeypatch.setattr(module.h5py, "File", opened)


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("kind", ["flipped", "cut", "zeroed", "lengthened"])
def test_no_damage_goes_unnoticed(tmp_path: Path, kind: str) -> None:
    rng = random.Random(0)
    path = tmp_path / "part.h5"
    expected = (
        f"{path} is damaged (its content does not match its checksum)",
        f"{path} is no scalecurv file, or it was cut short",
    )
    told = set()
    for _ in range(400):
        damaged = damage(WHOLE, kind, rng)
        if damaged == WHOLE:  # zeros were zeroed
            continue
        path.write_bytes(damaged)
        with pytest.raises(BrokenFile) as caught:
            decode(path)
        told.add(str(caught.value))
    assert told <= set(expected)
    assert expected[kind in ("cut", "lengthened")] in told


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("content", [b"", b"hello", SEAL + b"0" * 64, bytes(2000)])
def test_files_that_never_were_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part.h5").write_bytes(content)
    with pytest.raises(BrokenFile):
        decode(tmp_path / "part.h5")


def test_a_foreign_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.create_dataset("x", data=np.arange(3.0), dtype="f8")
    with pytest.raises(BrokenFile) as caught:
        decode(tmp_path / "part.h5")
    assert str(caught.value) == f"{tmp_path / 'part.h5'} is no scalecurv file, or it was cut short"


def test_what_cannot_be_read_or_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile) as caught:
        decode(tmp_path)
    assert str(caught.value) == f"{tmp_path} cannot be read (Is a directory)"
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "part.h5")


def test_a_newer_schema_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number alone: what else such a file holds, this release cannot know."""
    path = tmp_path / "part.h5"
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    monkeypatch.setattr(module, "TABLES", {"results2": TABLES["files"]})
    path.write_bytes(encode({"results2": SAMPLE["files"]}))
    monkeypatch.undo()
    with pytest.raises(Misuse) as caught:
        decode(path)
    message = f"{path} has schema {VERSION + 1}, this release reads 1 to {VERSION}; upgrade scalecurv to read it"
    assert str(caught.value) == message
