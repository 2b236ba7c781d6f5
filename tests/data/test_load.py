"""Data from files: the same arrays from every format, one line for everything that is none."""

import os
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pytest
import torch

from scalecurv.data import checks, stored
from scalecurv.data.load import load_data
from scalecurv.data.roles import NAMED
from scalecurv.errors import Misuse
from tests.data.writers import FORMS, WRITERS, save_h5

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 2, 1, 2])
ADVICE = "give one target a sample, x (N, ...) and y (N,) or (N, D)"


def complaint(path: Path) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path)
    message = str(caught.value)
    assert message.startswith(f"--data {path}")
    assert "\n" not in message
    return message.removeprefix(f"--data {path}")


def test_every_format_gives_back_what_was_saved(tmp_path: Path) -> None:
    for name in WRITERS:
        for x, y in [
            (X, Y),
            (X.astype(np.float64), X[:, :2].copy()),
            (np.arange(48, dtype=np.uint8).reshape(4, 3, 4), Y.astype(np.int32)),  # images
            (X.astype(np.float16), np.array([True, False, True, True])),
            (np.arange(12).reshape(4, 3), np.arange(24).reshape(4, 3, 2)),  # two targets a token
        ]:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            WRITERS[name](folder / name, x=x, y=y, more=x.copy())
            data = load_data(folder / name)
            for found, saved in zip((data.x, data.y), (x, y), strict=True):
                assert (found.dtype, found.shape) == (saved.dtype, saved.shape)
                np.testing.assert_array_equal(found, saved)


def test_compressed_and_foreign_byte_orders(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", x=X.astype(">f4"), y=Y.astype(">i4"))
    save_h5(tmp_path / "data.h5", x=X.astype(">f8"), y=Y.astype(">i2"))
    for name, dtypes in {"data.npz": ("f4", "i4"), "data.h5": ("f8", "i2")}.items():
        found = load_data(tmp_path / name)
        assert (found.x.dtype, found.y.dtype) == dtypes  # native, as torch wants them
        np.testing.assert_array_equal(found.x, X)
        np.testing.assert_array_equal(found.y, Y)


def test_tensors_that_need_gradients(tmp_path: Path) -> None:
    torch.save({"x": torch.nn.Parameter(torch.from_numpy(X)), "y": [0, 2, 1, 2]}, tmp_path / "data.pt")
    found = load_data(tmp_path / "data.pt")
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)


def test_a_missing_array_is_named_and_so_is_what_is_there(tmp_path: Path) -> None:
    for name in WRITERS:
        for lacking, advice in NAMED.items():
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            arrays = {f"{key}_raw" if key == lacking else key: array for key, array in {"x": X, "y": Y}.items()}
            WRITERS[name](folder / name, **arrays)
            there = {"x": "x_raw float32 (4, 3), y int64 (4,)", "y": "x float32 (4, 3), y_raw int64 (4,)"}[lacking]
            told = complaint(folder / name)
            assert told == f" has no array {lacking}; it holds {there}; {advice}"


def test_arrays_that_do_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arrays, message in [
        ({"y": Y[:3]}, f": x has shape (4, 3) and y has shape (3,); {ADVICE}"),
        ({"x": np.array(1.0)}, f": x has shape () and y has shape (4,); {ADVICE}"),
        ({"y": np.array(1)}, f": x has shape (4, 3) and y has shape (); {ADVICE}"),
        ({"x": X[:0], "y": Y[:0]}, f": x has shape (0, 3) and y has shape (0,); {ADVICE}"),
        ({"x": np.where(X > 0.5, np.nan, X)}, ": x holds 3 NaN or infinite value(s); remove them first"),
        ({"y": np.array([1, np.inf, -np.inf, 2])}, ": y holds 2 NaN or infinite value(s); remove them first"),
        ({"x": X.astype(np.complex64)}, ": x holds complex64; give real numbers of at most 64 bits"),
    ]:
        for name in ["data.npz", "data.h5"]:
            for block in [1 << 22, 5]:
                folder = tmp_path / str(len(list(tmp_path.iterdir())))
                folder.mkdir()
                monkeypatch.setattr(checks, "BLOCK", block)
                WRITERS[name](folder / name, **{"x": X, "y": Y, **arrays})
                assert complaint(folder / name) == message


@pytest.mark.parametrize(("array", "dtype"), [(X.astype(np.longdouble), "float128"), (X.astype(str), "<U32")])
def test_numbers_that_torch_does_not_know(tmp_path: Path, array: np.ndarray, dtype: str) -> None:
    np.savez(tmp_path / "data.npz", x=array, y=Y)
    assert complaint(tmp_path / "data.npz") == f": x holds {dtype}; give real numbers of at most 64 bits"


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def test_pickled_objects_are_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    np.savez(tmp_path / "data.npz", x=np.array([Payload(marker)], dtype=object), y=Y)
    torch.save({"x": Payload(marker), "y": torch.from_numpy(Y)}, tmp_path / "data.pt")
    with np.load(tmp_path / "data.npz", allow_pickle=True) as careless:
        careless["x"]
    marker.rmdir()  # the payload is live
    message = complaint(tmp_path / "data.npz")
    assert message == " cannot be read: Object arrays cannot be loaded when allow_pickle=False"
    assert complaint(tmp_path / "data.pt") == " cannot be read: x is an object of class posix.mkdir, no tensor"
    assert not marker.exists()


def test_a_file_that_is_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    kinds = ".npz, .npy, .pt, .safetensors, .h5 or .parquet"
    assert complaint(tmp_path / "data.npz") == f" does not exist; give a file with arrays x and y ({kinds})"
    assert complaint(tmp_path) == f" holds no data; give files {kinds} with arrays x and y"
    (tmp_path / "data.pkl").write_text("1,2")
    assert complaint(tmp_path / "data.pkl") == f" is of no known kind; give {kinds} with arrays x and y"


def test_the_advice_for_text_leads_to_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("x0,x1,y\n0.5,1,0\n1.5,2,1\n")
    statement = complaint(tmp_path / "data.csv").rpartition(": ")[2]
    assert statement == "duckdb.sql(\"copy (from 'data.csv') to 'data.parquet'\")"
    duckdb.sql("copy (from 'data.csv') to 'data.parquet'")
    found = load_data(tmp_path / "data.parquet")
    np.testing.assert_array_equal(found.x, [[0.5, 1], [1.5, 2]])
    np.testing.assert_array_equal(found.y, [0, 1])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # a damaged one
@pytest.mark.parametrize(
    ("name", "large"), [*((name, 1 << 28) for name in FORMS if name != "parts"), *((name, 0) for name in WRITERS)]
)
def test_damage_is_refused_in_one_line_or_leaves_the_data_alone(
    tmp_path: Path, name: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checksums are the formats' business; that nothing but Misuse comes of a broken file is ours."""
    monkeypatch.setattr(stored, "LARGE", large)
    path = tmp_path / name
    FORMS[name](path, x=X, y=Y)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = []
    trials = 24 if path.suffix == ".parquet" else 80
    for trial in range(trials):
        damaged = bytearray(whole)
        if trial % 4 == 0:
            damaged = damaged[: rng.integers(len(whole))]
        else:
            for _ in range(trial % 4):
                damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            data = load_data(path)
        except Misuse as error:
            refused.append(str(error))
        else:
            assert data.x.ndim >= 1
            assert len(data.x) == len(data.y)
    assert len(refused) >= trials // 4
    assert not any("\n" in message for message in refused)


def test_archives_of_another_form(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "data.npz")
    assert complaint(tmp_path / "data.npz") == " cannot be read: File is not a zip file"
    (tmp_path / "empty.npz").write_bytes(b"")
    assert complaint(tmp_path / "empty.npz") == " cannot be read: File is not a zip file"
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert complaint(tmp_path / "other.npz") == f" has no array x; it holds no arrays; {NAMED['x']}"
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_group("x")
    assert complaint(tmp_path / "data.h5") == f" has no array x; it holds no arrays; {NAMED['x']}"
