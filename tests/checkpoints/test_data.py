"""Data from files: the same arrays from every format, one line for everything that is none."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from scalecurv.checkpoints.data import load_data
from scalecurv.errors import Misuse

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 2, 1, 2])
ADVICE = "give one target a sample, x (N, ...) and y (N,) or (N, D)"


def save_h5(path: Path, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype=array.dtype)


WRITERS: dict[str, Callable[..., None]] = {
    ".npz": np.savez,
    ".pt": lambda path, **arrays: torch.save({name: torch.from_numpy(a) for name, a in arrays.items()}, path),
    ".safetensors": lambda path, **arrays: save_file(arrays, path),
    ".h5": save_h5,
}


def complaint(path: Path) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path)
    said = str(caught.value)
    assert said.startswith(f"--data {path}")
    assert "\n" not in said
    return said.removeprefix(f"--data {path}")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y),
        (X.astype(np.float64), X[:, :2].copy()),
        (np.arange(48, dtype=np.uint8).reshape(4, 3, 4), Y.astype(np.int32)),  # images
        (X.astype(np.float16), np.array([True, False, True, True])),
    ],
)
def test_every_format_gives_back_what_was_saved(tmp_path: Path, suffix: str, x: np.ndarray, y: np.ndarray) -> None:
    WRITERS[suffix](tmp_path / f"data{suffix}", x=x, y=y, more=x.copy())
    for found, saved in zip(load_data(tmp_path / f"data{suffix}"), (x, y), strict=True):
        assert (found.dtype, found.shape) == (saved.dtype, saved.shape)
        np.testing.assert_array_equal(found, saved)


def test_compressed_and_foreign_byte_orders(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", x=X.astype(">f4"), y=Y.astype(">i4"))
    save_h5(tmp_path / "data.h5", x=X.astype(">f8"), y=Y.astype(">i2"))
    for name, dtypes in {"data.npz": ("f4", "i4"), "data.h5": ("f8", "i2")}.items():
        found = load_data(tmp_path / name)
        assert [array.dtype for array in found] == [np.dtype(d) for d in dtypes]  # native, as torch wants them
        np.testing.assert_array_equal(found[0], X)
        np.testing.assert_array_equal(found[1], Y)


def test_tensors_that_need_gradients(tmp_path: Path) -> None:
    torch.save({"x": torch.nn.Parameter(torch.from_numpy(X)), "y": [0, 2, 1, 2]}, tmp_path / "data.pt")
    x, y = load_data(tmp_path / "data.pt")
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("lacking", ["x", "y"])
def test_a_missing_array_is_named(tmp_path: Path, suffix: str, lacking: str) -> None:
    arrays = {lacking.upper() if name == lacking else name: array for name, array in {"x": X, "y": Y}.items()}
    WRITERS[suffix](tmp_path / f"data{suffix}", **arrays)
    assert complaint(tmp_path / f"data{suffix}") == f" has no array {lacking}; it must hold x (N, ...) and y"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y[:3]}, f": x has shape (4, 3) and y has shape (3,); {ADVICE}"),
        ({"x": X[:, 0].copy()}, f": x has shape (4,) and y has shape (4,); {ADVICE}"),
        ({"y": np.ones((4, 2, 2))}, f": x has shape (4, 3) and y has shape (4, 2, 2); {ADVICE}"),
        ({"x": X[:0], "y": Y[:0]}, f": x has shape (0, 3) and y has shape (0,); {ADVICE}"),
        ({"x": np.where(X > 0.5, np.nan, X)}, ": x holds 3 NaN or infinite value(s)"),
        ({"y": np.array([1, np.inf, -np.inf, 2])}, ": y holds 2 NaN or infinite value(s)"),
        ({"x": X.astype(np.complex64)}, ": x holds complex64; give real numbers of at most 64 bits"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays_that_do_not_do(tmp_path: Path, suffix: str, arrays: dict[str, np.ndarray], message: str) -> None:
    WRITERS[suffix](tmp_path / f"data{suffix}", **{"x": X, "y": Y, **arrays})
    assert complaint(tmp_path / f"data{suffix}") == message


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
    said = complaint(tmp_path / "data.npz")
    assert said == " cannot be read: Object arrays cannot be loaded when allow_pickle=False"
    refused = " holds more than tensors, or is damaged; nothing pickled is ever run: save tensors x and y"
    assert complaint(tmp_path / "data.pt") == refused
    assert not marker.exists()


def test_a_file_that_is_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    kinds = ".npz, .pt, .safetensors, .h5"
    assert complaint(tmp_path / "data.npz") == f" does not exist; give a file with arrays x and y ({kinds})"
    assert complaint(tmp_path) == f" does not exist; give a file with arrays x and y ({kinds})"
    (tmp_path / "data.csv").write_text("1,2")
    assert complaint(tmp_path / "data.csv") == f" is of no known kind; give {kinds} with arrays x and y"


@pytest.mark.parametrize("suffix", WRITERS)
def test_damage_is_refused_in_one_line_or_leaves_the_data_alone(tmp_path: Path, suffix: str) -> None:
    """Checksums are the formats' business; that nothing but Misuse comes of a broken file is ours."""
    path = tmp_path / f"data{suffix}"
    (np.savez_compressed if suffix == ".npz" else WRITERS[suffix])(path, x=X, y=Y)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = []
    for trial in range(160):
        damaged = bytearray(whole)
        if trial % 4 == 0:
            damaged = damaged[: rng.integers(len(whole))]
        else:
            for _ in range(trial % 4):
                damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            x, y = load_data(path)
        except Misuse as error:
            refused.append(str(error))
        else:
            assert x.ndim >= 2
            assert len(x) == len(y)
    assert len(refused) >= 40
    assert not any("\n" in said for said in refused)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], " has no array x; it must hold x (N, ...) and y"),
        (None, " cannot be read: argument of type 'NoneType' is not iterable"),
        ({"x": "three", "y": torch.ones(3)}, " cannot be read: new(): invalid data type 'str'"),
        (
            {"x": torch.ones(2, 2), "y": torch.ones(2).bfloat16()},
            " cannot be read: Got unsupported ScalarType BFloat16",
        ),
    ],
)
def test_a_torch_file_of_another_form(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "data.pt")
    assert complaint(tmp_path / "data.pt") == message


def test_archives_of_another_form(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "data.npz")
    manager = "'numpy.ndarray' object does not support the context manager protocol"
    assert complaint(tmp_path / "data.npz") == f" cannot be read: {manager}"
    (tmp_path / "empty.npz").write_bytes(b"")
    assert complaint(tmp_path / "empty.npz") == " cannot be read: No data left in file"
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert complaint(tmp_path / "other.npz") == " has no array x; it must hold x (N, ...) and y"
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_group("x")
    group = "Accessing a group is done with bytes or str, not <class 'ellipsis'>"
    assert complaint(tmp_path / "data.h5") == f" cannot be read: {group}"
