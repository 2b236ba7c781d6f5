"""Which arrays are the inputs and which the targets, by their names, in every format that has names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.load import load_data
from scalecurv.data.roles import NAMED
from scalecurv.data.stored import by_name
from scalecurv.errors import Misuse
from tests.data.writers import WRITERS

X, Y = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), np.arange(8) % 3
OTHER = np.arange(8.0)


def save_folder(path: Path, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / f"{name}.npy", array)


FORMATS: dict[str, Callable[..., None]] = {**WRITERS, "folder": save_folder}
SINGLE = [
    ("x", "y"), ("X", "y"), ("X", "Y"), ("inputs", "targets"), ("inputs", "labels"), ("input", "target"),
    ("data", "labels"), ("data", "targets"), ("data", "target"), ("images", "labels"), ("image", "label"),
    ("features", "labels"), ("input_ids", "labels"), ("Images", "LABELS"),
]  # fmt: skip
SPLITS = ["{0}_train", "train_{0}", "train/{0}"]
PARTS: dict[str, tuple[dict[str, np.ndarray], Any]] = {
    "tokens": ({"input_ids": Y, "attention_mask": X, "labels": Y}, {"input_ids": Y, "attention_mask": X}),
    "three": (
        {"token_type_ids": OTHER, "input_ids": Y, "attention_mask": X, "label": Y, "idx": OTHER},
        {"token_type_ids": OTHER, "input_ids": Y, "attention_mask": X},
    ),
    "a group": ({"x/left": X, "x/right": OTHER, "y": Y}, {"left": X, "right": OTHER}),
    "in order": ({"x/0": X, "x/1": OTHER, "y": Y}, (X, OTHER)),
    "in a split": ({"train/x/a": X, "train/x/b": Y, "train/y": Y, "test/x/a": X}, {"a": X, "b": Y}),
    "tokens of a split": (
        {"train/input_ids": Y, "train/attention_mask": X, "train/labels": Y, "test/input_ids": Y},
        {"input_ids": Y, "attention_mask": X},
    ),
    "tokens by suffix": (
        {"input_ids_train": Y, "attention_mask_train": X, "labels_train": Y, "input_ids_test": Y},
        {"input_ids": Y, "attention_mask": X},
    ),
}


def fresh(folder: Path, format: str, **arrays: np.ndarray) -> Path:
    inside = folder / str(len(list(folder.iterdir())))
    inside.mkdir()
    FORMATS[format](inside / format, **arrays)
    return inside / format


def complaint(path: Path, split: str | None = None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path, split)
    return str(caught.value).replace(str(path), "F")


def test_names_of_inputs_and_targets(tmp_path: Path) -> None:
    wanted = fingerprint_of_arrays(x=X, y=Y)
    for format in FORMATS:
        for x, y in SINGLE:
            assert load_data(fresh(tmp_path, format, **{x: X, y: Y, "weights": OTHER})).fingerprint == wanted
        for form in SPLITS:
            for x, y in SINGLE[::3]:
                arrays = {form.format(x): X, form.format(y): Y, form.format(x).replace("train", "test"): OTHER}
                assert load_data(fresh(tmp_path, format, **arrays), "train").fingerprint == wanted


def test_inputs_of_several_parts(tmp_path: Path) -> None:
    for format in FORMATS:
        for name, (arrays, tree) in PARTS.items():
            data = load_data(
                fresh(tmp_path, format, **arrays), "train" if "split" in name or "suffix" in name else None
            )
            assert type(data.x.tree) is type(tree)
            found, wanted = by_name(data.x, data.y), by_name(type(data.x)(tree), Y)
            assert sorted(found) == sorted(wanted), (format, name)
            for place in wanted:
                np.testing.assert_array_equal(found[place], wanted[place])


def test_parts_in_another_order_are_the_same_data(tmp_path: Path) -> None:
    arrays, _ = PARTS["three"]
    one, other = (fresh(tmp_path, "data.npz", **given) for given in (arrays, dict(reversed(arrays.items()))))
    assert load_data(one).fingerprint == load_data(other).fingerprint


def test_what_is_missing_or_ambiguous_is_refused_with_what_is_there(tmp_path: Path) -> None:
    for arrays, message in [
        ({"a": X, "labels": Y}, f" has no array x; it holds a float32 (8, 3), labels int64 (8,); {NAMED['x']}"),
        ({"x": X, "z": Y}, f" has no array y; it holds x float32 (8, 3), z int64 (8,); {NAMED['y']}"),
        ({"x1": X, "x2": X, "y": Y}, " has no array x; it holds x1 float32 (8, 3), x2 float32 (8, 3), y int64 (8,); "),
        ({"images": X, "features": X, "y": Y}, f": each of features, images may be x; {NAMED['x']}, and only one"),
        ({"input_ids": Y, "inputs": X, "y": Y}, f": each of inputs, input_ids may be x; {NAMED['x']}, and only one"),
        ({"x": X, "label": Y, "target": Y}, f": each of label, target may be y; {NAMED['y']}, and only one of them so"),
        (
            {"x/a": X, "x/b": X[:7], "y": Y},
            ": x['a'] has shape (8, 3) and x['b'] has shape (7, 3) and y has shape (8,)",
        ),
        ({"x/a": X * np.nan, "x/b": X, "y": Y}, ": x['a'] holds 24 NaN value(s)"),
    ]:
        for format in ("data.h5", "folder"):  # in which names are sorted
            assert complaint(fresh(tmp_path, format, **arrays)).startswith(f"--data F{message}"), arrays


def test_a_mask_that_is_added_to_scores_may_be_infinite(tmp_path: Path) -> None:
    mask = np.where(X > 0, 0, -np.inf)
    data = load_data(fresh(tmp_path, "data.npz", **{"x/a": X, "x/mask": mask, "y": Y}))
    np.testing.assert_array_equal(data.x.tree["mask"], mask)


def test_of_many_arrays_some_are_named_and_none_is_printed_raw(tmp_path: Path) -> None:
    arrays = {f"\x1b[3{i}m{'a' * 200}": X for i in range(12)}
    told = complaint(fresh(tmp_path, "data.npz", **arrays))
    assert "\x1b" not in told
    assert len(told) < 1500
    assert "and 4 more" in told
