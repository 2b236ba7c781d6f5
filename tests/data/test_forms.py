"""Content is what counts: the same arrays, and the same samples of them, from every form that they were saved in."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from scalecurv.data import hdf5, load, stored
from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.load import Data, chosen, load_data
from scalecurv.errors import Misuse
from tests.data.writers import FORMS, save_h5

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
ROWS = [5, 7, 8, 15, 28, 36, 37]  # what seed 10 draws, seven of forty


def fingerprint(data: Data) -> str:
    assert data.x.flags.c_contiguous
    assert data.x.dtype.isnative
    return fingerprint_of_arrays(x=data.x, y=data.y)


@pytest.mark.parametrize("large", [1 << 28, 0], ids=["read", "mapped"])
def test_equal_content_has_equal_fingerprints(tmp_path: Path, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE", large)
    for i, form in enumerate(FORMS):
        y = Y.astype(("int64", "float64", "int32")[(i + (large > 0)) % 3])
        FORMS[form](tmp_path / form, x=X, y=y)
        for wanted, rows in ((None, slice(None)), (40, slice(None)), (7, ROWS)):
            data = load_data(tmp_path / form, None, wanted, seed=10)
            assert data.available == 40
            assert fingerprint(data) == fingerprint_of_arrays(x=X[rows], y=y[rows]), form


@pytest.mark.parametrize("form", ["data.npz", "data.pt", "data.safetensors", "data.h5"])
def test_only_large_files_are_maps(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map shows what is written into the file later; an array that was read does not."""
    path = tmp_path / form
    FORMS[form](path, x=X, y=Y)
    whole = path.read_bytes()
    at = whole.index(X.tobytes())
    for large, shown in ((len(whole), X[0, 0]), (len(whole) - 1, 0.0)):
        path.write_bytes(whole)
        monkeypatch.setattr(stored, "LARGE", large)
        data = load_data(path)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes(4))
        assert data.x[0, 0] == shown
        np.testing.assert_array_equal(data.x[1:], X[1:])


def in_user_block(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_dataset("x", data=X, dtype="f4")
        file.create_dataset("y", data=Y, dtype="i8")


def in_another_file(path: Path) -> None:
    X.tofile(path.with_suffix(".raw"))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", X.shape, "f4", external=[(str(path.with_suffix(".raw")), 0, X.nbytes)])
        file.create_dataset("y", data=Y, dtype="i8")


def in_middle_bytes(path: Path) -> None:
    """What stands in an integer of 8 bytes are its bytes 2 to 5, which NumPy has no dtype for."""
    kind = h5py.h5t.STD_I64LE.copy()
    kind.set_precision(32)
    kind.set_offset(16)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=X, dtype=">f4")
        h5py.h5d.create(file.id, b"y", kind, h5py.h5s.create_simple(Y.shape)).write(h5py.h5s.ALL, h5py.h5s.ALL, Y)


def in_columns(path: Path) -> None:
    np.savez(path, x=np.asfortranarray(X), y=Y)


def in_header(path: Path) -> None:
    """Compact: the numbers stand where others have the address of theirs."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(Y.shape)
        h5py.h5d.create(file.id, b"y", h5py.h5t.STD_I64LE, space, layout).write(h5py.h5s.ALL, h5py.h5s.ALL, Y)
        file.create_dataset("x", data=X, dtype="f4")


@pytest.mark.parametrize("save", [in_user_block, in_another_file, in_middle_bytes, in_header, in_columns])
def test_maps_of_what_lies_elsewhere_or_otherwise(
    tmp_path: Path, save: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LARGE", 0)
    save(path := tmp_path / ("d.npz" if save is in_columns else "d.h5"))
    assert fingerprint(load_data(path)) == fingerprint_of_arrays(x=X, y=Y)


@pytest.mark.parametrize("form", ["data.npz", "data.pt", "data.h5"])
def test_truth_values_are_mapped_as_such(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE", 0)
    FORMS[form](tmp_path / form, x=X, y=Y > 1)
    assert fingerprint(load_data(tmp_path / form)) == fingerprint_of_arrays(x=X, y=Y > 1)


@pytest.mark.parametrize("large", [1 << 28, 0], ids=["read", "mapped"])
def test_a_shape_that_asks_for_all_memory_is_not_believed(
    tmp_path: Path, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LARGE", large)
    np.save(tmp_path / "x.npy", X)
    forged = (tmp_path / "x.npy").read_bytes().replace(b"(40, 5), }             ", b"(400000000000000, 5), }")
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", forged)
        archive.writestr("y.npy", forged)
    with pytest.raises(Misuse, match=r"d\.npz cannot be read: x\.npy has 800 bytes, not those of shape \(4\d*, 5\)"):
        load_data(tmp_path / "d.npz")


def test_blocks_of_hdf5_without_a_wanted_row_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged chunk is found out by its checksum, where it is read."""
    monkeypatch.setattr(hdf5, "BLOCK", 1)  # one chunk
    x = np.arange(80.0).reshape(40, 2)
    save_h5(tmp_path / "data.h5", chunks=True, x=x, y=Y)  # chunks of 13 rows, the last one begins at 39
    damaged = bytearray((tmp_path / "data.h5").read_bytes())
    damaged[damaged.index(x[39].tobytes())] ^= 1
    (tmp_path / "data.h5").write_bytes(damaged)
    data = load_data(tmp_path / "data.h5", None, 7, seed=10)
    np.testing.assert_array_equal(data.x, x[ROWS])
    with pytest.raises(Misuse, match=r"data\.h5 cannot be read: Can't synchronously read data"):
        load_data(tmp_path / "data.h5")


def test_a_torch_file_in_the_old_format_is_read_and_one_that_shares_storage_too(tmp_path: Path) -> None:
    everything = torch.from_numpy(np.column_stack([X, Y.astype(np.float32)]))
    torch.save({"x": everything[:, :5], "y": everything[:, 5]}, tmp_path / "views.pt")
    assert fingerprint(load_data(tmp_path / "views.pt")) == fingerprint_of_arrays(x=X, y=Y.astype(np.float32))


def test_samples_drawn_block_by_block_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [chosen(1000, wanted, seed=3) for wanted in (1, 7, 999)]
    for block in (1, 6, 7, 400):
        monkeypatch.setattr(load, "BLOCK", block)
        for wanted, rows in zip((1, 7, 999), whole, strict=True):
            np.testing.assert_array_equal(chosen(1000, wanted, seed=3), rows)
