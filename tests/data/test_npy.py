"""Files of one array each: which two belong together, and that nothing in them is unpickled or believed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecurv.data import stored
from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.load import load_data
from scalecurv.data.roles import NAMED
from scalecurv.errors import Misuse

X, Y = np.linspace(-1, 1, 24).reshape(8, 3), np.arange(8) % 3


def fill(folder: Path, **arrays: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def complaint(path: Path, split: str | None = None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path, split)
    return str(caught.value).replace(str(path.parent), "D")


def test_the_targets_lie_beside_the_inputs(tmp_path: Path) -> None:
    wanted = fingerprint_of_arrays(x=X, y=Y)
    for i, (x, y) in enumerate(
        [("x", "y"), ("X", "y"), ("x_train", "y_train"), ("train_images", "train_labels"), ("X_val", "Y_val")]
    ):
        folder = fill(tmp_path / str(i), **{x: X, y: Y, "other": X})
        assert load_data(folder / f"{x}.npy").fingerprint == wanted
        assert load_data(folder / f"{x}.npy", None, 3).available == 8


@pytest.mark.parametrize("large", [1 << 28, 0], ids=["read", "mapped"])
def test_order_and_bytes_do_not_count(tmp_path: Path, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE", large)
    folder = fill(tmp_path / "d", x=np.asfortranarray(X).astype(">f8"), y=Y)
    assert load_data(folder).fingerprint == fingerprint_of_arrays(x=X, y=Y)


def test_what_is_no_pair_is_refused_with_what_is_there(tmp_path: Path) -> None:
    folder = fill(tmp_path / "d", x=X, z=Y)
    there = "D holds x.npy float64 (8, 3), z.npy int64 (8,)"
    assert complaint(folder / "x.npy") == f"--data D/x.npy has no y.npy beside it; {there}; {NAMED['y']}"
    assert complaint(folder / "z.npy") == (
        f"--data D/z.npy may be inputs or targets; {NAMED['x']}, and give the directory, D"
    )
    np.save(folder / "y.npy", Y)
    none = "--data D/x.npy has no split 'train'; it holds none at all, so leave --split out"
    assert complaint(folder / "x.npy", "train") == none
    np.savez(folder / "more.npz", x=X, y=Y)
    assert complaint(folder) == "--data D/d: more.npz is of another kind than x.npy; keep files of one suffix"


def test_nothing_is_unpickled_or_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "d", x=np.array([{}] * 8, dtype=object), y=Y)
    refused = "cannot be read: Object arrays cannot be loaded when allow_pickle=False"
    assert complaint(folder / "x.npy") == f"--data D/x.npy {refused}"
    fill(folder, x=X)
    whole = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(whole.replace(b"(8, 3), }             ", b"(800000000000, 3), }  "))
    for large in (1 << 28, 0):
        monkeypatch.setattr(stored, "LARGE", large)
        assert "x.npy has 192 bytes, not those of shape" in complaint(folder / "x.npy")
    (folder / "x.npy").write_bytes(whole[:100])
    assert complaint(folder / "x.npy").startswith("--data D/x.npy cannot be read: ")


def test_what_the_datasets_library_writes_is_told_how_to_be_converted(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(Misuse) as caught:
        load_data(tmp_path)
    assert str(caught.value) == (
        f"--data {tmp_path} was written by save_to_disk of datasets; write it as Parquet: "
        "datasets.load_from_disk(FOLDER).to_parquet('data.parquet'), for each split of a DatasetDict"
    )
