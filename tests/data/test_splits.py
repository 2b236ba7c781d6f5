"""One split of a file: by the names of its arrays or by a column, and one line where it is not there."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from scalecurv.data.load import load_data
from scalecurv.data.roles import NAMED
from scalecurv.errors import Misuse
from tests.data.writers import WRITERS, save_lists, save_numbered

X = np.linspace(-1, 1, 30).reshape(10, 3)
Y = np.arange(10)
ROWS = {"train": [0, 1, 3, 4, 6, 8, 9], "test": [2, 5, 7]}


def arrays(form: str) -> dict[str, np.ndarray]:
    return {
        form.format(name, split): array[rows] for split, rows in ROWS.items() for name, array in (("x", X), ("y", Y))
    }


def nested(path: Path) -> None:
    torch.save({split: {"x": torch.from_numpy(X[rows]), "y": Y[rows].tolist()} for split, rows in ROWS.items()}, path)


def column(save: Callable[..., None]) -> Callable[[Path], None]:
    return lambda path: save(path, x=X, y=Y, split=["test" if i in ROWS["test"] else "train" for i in range(10)])


def named(name: str, form: str) -> Callable[[Path], None]:
    return lambda path: WRITERS[name](path, **arrays(form))


SOURCES = {
    **{f"keras-{name}": named(name, "{0}_{1}") for name in WRITERS},
    **{f"slash-{name}": named(name, "{1}/{0}") for name in WRITERS},
    **{f"medmnist-{name}": named(name, "{1}_{0}") for name in WRITERS},
    "nested.pt": nested,
    "lists.parquet": column(save_lists),
    "numbers.parquet": column(save_numbered),
}


def complaint(path: Path, split: str | None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path, split)
    return str(caught.value).replace(str(path), "F")


def test_a_split_is_its_rows_and_no_other(tmp_path: Path) -> None:
    for source in SOURCES:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        SOURCES[source](folder / source)
        for split, rows in ROWS.items():
            data = load_data(folder / source, split)
            np.testing.assert_array_equal(data.x, X[rows])
            np.testing.assert_array_equal(data.y, Y[rows])
            assert data.available == len(rows)
        some = load_data(folder / source, "train", 3, seed=1)
        assert (len(some.y), some.available) == (3, 7)
        assert set(some.y) < set(ROWS["train"])
        np.testing.assert_array_equal(some.x, X[some.y])


def test_which_splits_there_are_is_said(tmp_path: Path) -> None:
    for source in SOURCES:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        SOURCES[source](path := folder / source)
        assert complaint(path, None) == "--data F holds the splits test, train; choose one with --split NAME"
        assert complaint(path, "val") == "--data F has no split 'val'; it holds test, train"
        assert complaint(path, "' or 1=1 --").startswith("--data F has no split")


def test_arrays_of_no_split_are_taken_unless_one_is_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y, **{name: a for name, a in arrays("{0}_{1}").items() if "test" in name})
    assert len(load_data(tmp_path / "d.npz").y) == 10
    assert len(load_data(tmp_path / "d.npz", "test").y) == 3
    np.savez(tmp_path / "plain.npz", x=X, y=Y)
    none = "--data F has no split 'test'; it holds none at all, so leave --split out"
    assert complaint(tmp_path / "plain.npz", "test") == none


def test_splits_that_lack_an_array_or_have_it_twice(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **{"x_train": X, "train/y": Y, "x_test": X, "test/x": X, "y_test": Y, "x_val": X})
    twice = "--data F holds x of split test twice, x_test and test/x; keep one"
    assert complaint(tmp_path / "d.npz", "train") == twice
    np.savez(tmp_path / "d.npz", **{"x_train": X, "train/y": Y, "x_val": X})
    assert len(load_data(tmp_path / "d.npz", "train").y) == 10
    lacks = f"--data F has no array y of split val; it holds x float64 (10, 3); {NAMED['y']}"
    assert complaint(tmp_path / "d.npz", "val") == lacks
    assert complaint(tmp_path / "d.npz", None) == "--data F holds the splits train; choose one with --split NAME"


def test_links_that_lead_nowhere_are_no_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"] = h5py.SoftLink("/nowhere")
        file["train/x"] = h5py.ExternalLink(str(tmp_path / "none.h5"), "x")
    assert complaint(tmp_path / "d.h5", None) == f"--data F has no array x; it holds no arrays; {NAMED['x']}"
