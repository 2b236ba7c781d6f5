"""The table of files in docs/data.md: each is written, read whole and by its split, and gives the same x and y."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import torch
from safetensors.numpy import save_file

from scalecurv.data.load import load_data
from scalecurv.samples.nested import Nested
from tests.data.writers import save_lists, save_numbered, save_shards
from tests.pages import check_table, row

HEADING = row("source", "whole", "with `--split train`")
X = np.linspace(-1, 1, 36).reshape(12, 3)
Y = np.arange(12) % 3
IDS, MASK = np.arange(48).reshape(12, 4) % 7, np.arange(48).reshape(12, 4) % 3
Write = Callable[[Path], None]


def named(save: Callable[..., None], x: str, y: str) -> Write:
    """Return what writes x and y by these names."""
    return lambda path: save(path, **{x: X, y: Y})


def tensors(content: Any) -> Any:
    """Return the content with tensors for arrays."""
    if isinstance(content, dict):
        return {name: tensors(part) for name, part in content.items()}
    if isinstance(content, tuple | list):
        return type(content)(map(tensors, content))
    return torch.from_numpy(content)


def saved(content: Any) -> Write:
    return lambda path: torch.save(tensors(content), path)


def save_tensors(path: Path, **arrays: np.ndarray) -> None:
    save_file(arrays, path)


def save_groups(path: Path, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def save_nested(path: Path, names: str = "x, y") -> None:
    """Lists of lists of numbers: images of 1 x 3 pixels."""
    with duckdb.connect() as connection:
        rows = ", ".join(f"([{list(map(float, x))}]::double[][], {y}, 'train')" for x, y in zip(X, Y, strict=True))
        connection.execute(
            f"copy (select {names} from (values {rows}) t(x, y, split)) to ? (format parquet)", [str(path)]
        )


def arrays_beside(path: Path, suffix: str = "") -> None:
    path.mkdir(exist_ok=True)
    np.save(path / f"x{suffix}.npy", X)
    np.save(path / f"y{suffix}.npy", Y)


def folder_of(write: Write, name: str) -> Write:
    def written(path: Path) -> None:
        path.mkdir()
        write(path / name)

    return written


def named_three(save: Callable[..., None]) -> Write:
    return lambda path: save(path, input_ids=IDS, attention_mask=MASK, labels=Y)


# source, what it holds, what it holds of the split: (words, name, writer)
Form = tuple[str, tuple[str, Write], tuple[str, Write]]
FORMS: list[Form] = [
    ("data.npz", ("`x`, `y`", named(np.savez, "x", "y")),
     ("`x_train`, `y_train`", named(np.savez, "x_train", "y_train"))),
    ("data.npz", ("`X`, `y`", named(np.savez, "X", "y")),
     ("`X_train`, `y_train`", named(np.savez, "X_train", "y_train"))),
    ("data.npz", ("`images`, `labels`", named(np.savez, "images", "labels")),
     ("`train_images`, `train_labels`", named(np.savez, "train_images", "train_labels"))),
    ("data.safetensors", ("`inputs`, `targets`", named(save_tensors, "inputs", "targets")),
     ("`train/inputs`, `train/targets`", named(save_tensors, "train/inputs", "train/targets"))),
    ("data.h5", ("`data`, `labels`", named(save_groups, "data", "labels")),
     ("`train/data`, `train/labels`", named(save_groups, "train/data", "train/labels"))),
    ("data.npz", ("`features`, `label`", named(np.savez, "features", "label")),
     ("`features_train`, `label_train`", named(np.savez, "features_train", "label_train"))),
    ("tokens.safetensors", ("`input_ids`, `attention_mask`, `labels`", named_three(save_tensors)),
     ("the same in `train/`", lambda path: save_tensors(
         path, **{"train/input_ids": IDS, "train/attention_mask": MASK, "train/labels": Y}))),
    ("data.pt", ("the pair `(x, y)`", saved((X, Y))), ("`{'train': (x, y)}`", saved({"train": (X, Y)}))),
    ("data.pt", ("`{'x': x, 'y': y}`", saved({"x": X, "y": Y})),
     ("`{'train': {'x': x, 'y': y}}`", saved({"train": {"x": X, "y": Y}}))),
    ("data.pt", ("a list of batches `[(x, y), ...]`", saved([(X[:5], Y[:5]), (X[5:], Y[5:])])),
     ("`{'train': (x, y), 'test': (x, y)}`", saved({"train": (X, Y), "test": (X + 1, Y)}))),
    ("data.parquet", ("a column `y`, a list column `x`", lambda path: save_lists(path, X, Y)),
     ("rows whose column `split` says so", lambda path: save_lists(path, X, Y, split=["train"] * 12))),
    ("data.parquet", ("columns `x_0`, `x_1`, ... and `y`", lambda path: save_numbered(path, X, Y)),
     ("rows whose column `split` says so", lambda path: save_numbered(path, X, Y, split=["train"] * 12))),
    ("data.parquet", ("a column `x` of nested lists", save_nested),
     ("rows whose column `split` says so", lambda path: save_nested(path, "*"))),
    ("folder", ("`x.npy`, `y.npy`", arrays_beside),
     ("`x_train.npy`, `y_train.npy`", lambda path: arrays_beside(path, "_train"))),
    ("folder", ("files of one kind, `part_9` before `part_10`", lambda path: save_shards(path, X, Y)),
     ("the files in `train/`", folder_of(lambda path: save_shards(path, X, Y), "train"))),
]  # fmt: skip


def check(path: Path, split: str | None) -> None:
    data = load_data(path, split)
    if isinstance(data.x, Nested):
        assert data.x.tree.keys() == {"input_ids", "attention_mask"}
        np.testing.assert_array_equal(data.x.tree["input_ids"], IDS)
        np.testing.assert_array_equal(data.x.tree["attention_mask"], MASK)
    else:
        np.testing.assert_array_equal(data.x.reshape(X.shape), X)
    np.testing.assert_array_equal(data.y, Y)


def test_the_table_of_files(tmp_path: Path) -> None:
    rows = []
    for i, (source, (whole, write), (within, write_split)) in enumerate(FORMS):
        for j, (writer, split) in enumerate([(write, None), (write_split, "train")]):
            path = tmp_path / f"{i} {j}" / source
            path.parent.mkdir()
            writer(path)
            check(path, split)
        rows.append(row(f"`{source}`" if "." in source else "a directory", whole, within))
    check_table("data.md", HEADING, rows)
