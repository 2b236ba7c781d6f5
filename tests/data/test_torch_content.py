"""What a .pt file may hold: pairs, batches, data sets and containers of tensors, and one line for anything else."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from scalecurv.data.fingerprint import fingerprint_of_arrays
from scalecurv.data.load import load_data
from scalecurv.data.roles import NAMED
from scalecurv.data.stored import by_name
from scalecurv.errors import Misuse

X, Y = torch.arange(24.0).reshape(8, 3) / 7, torch.arange(8) % 3
X_, Y_ = X.numpy(), Y.numpy()


class Own(Dataset[Any]):
    """A data set of tensors with a transform, perhaps: its class is not imported where it is read."""

    def __init__(self, transform: Any = None):
        self.data, self.targets, self.transform = X, Y, transform


def rows(part: Any, start: int, stop: int) -> Any:
    return {key: value[start:stop] for key, value in part.items()} if isinstance(part, dict) else part[start:stop]


TOKENS = {"input_ids": Y[:, None] + torch.arange(4), "attention_mask": torch.ones(8, 4, dtype=torch.bool)}
PLAIN: dict[str, Any] = {
    "a pair": (X, Y),
    "a list of two": [X, Y],
    "a pair of an array and a list": (X_, Y.tolist()),
    "a dict": {"X": X, "Y": Y},
    "a dict of lists": {"data": X.double().tolist(), "target": Y.tolist()},
    "batches": [(X[:5], Y[:5]), (X[5:], Y[5:])],
    "batches by name": [{"inputs": X[:5], "labels": Y[:5]}, {"inputs": X[5:], "labels": Y[5:]}],
    "a TensorDataset": TensorDataset(X, Y),
    "a part of one": Subset(TensorDataset(torch.cat([X, X]), torch.cat([Y, Y])), list(range(8, 16))),
    "a data set of one's own": Own(),
    "more beside": {"images": X, "labels": Y, "epoch": 3, "name": "train", "nothing": None},
    "views": {"x": torch.cat([X, X], 1)[:, :3], "y": torch.stack([Y, Y], 1)[:, 0]},
    "parameters": {"x": torch.nn.Parameter(X), "y": Y},
}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def complaint(path: Path, split: str | None = None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path, split, memory=2 << 30)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "F")


def test_forms_of_the_same_numbers_are_the_same_data(tmp_path: Path) -> None:
    for name, content in PLAIN.items():
        data = load_data(saved(tmp_path / "d.pt", content))
        assert data.fingerprint == fingerprint_of_arrays(x=X_, y=Y_), name
        some = load_data(tmp_path / "d.pt", None, 3, seed=1)
        assert (len(some), some.available) == (3, 8)


def test_inputs_of_several_parts_keep_their_form(tmp_path: Path) -> None:
    several = {
        "a dict beside targets": {**TOKENS, "labels": Y},
        "a pair of a dict and targets": (TOKENS, Y),
        "a pair of two and targets": ((X, Y), Y),
        "parts by name": {"x": {"a": X, "b": (Y, X)}, "y": Y},
        "batches of two": [((X[:4], Y[:4]), Y[:4]), ((X[4:], Y[4:]), Y[4:])],
        "targets of two": (X, {"a": Y, "b": X}),
    }
    trees = [TOKENS, TOKENS, (X, Y), {"a": X, "b": (Y, X)}, (X, Y), X]
    for (name, content), tree in zip(several.items(), trees, strict=True):
        data = load_data(saved(tmp_path / "d.pt", content))
        found = by_name(data.x, data.y)
        leaves = by_name(*load_data(saved(tmp_path / "e.pt", (tree, content[1] if tree is X else Y))).samples())
        assert found.keys() == leaves.keys(), name
        for place in found:
            np.testing.assert_array_equal(found[place], leaves[place])
    assert type(load_data(saved(tmp_path / "d.pt", several["a pair of two and targets"])).x.tree) is tuple


def test_splits_may_be_pairs_dicts_or_data_sets(tmp_path: Path) -> None:
    for train in ((X, Y), {"X": X, "y": Y}, TensorDataset(X, Y), Subset(TensorDataset(X, Y), range(8))):
        path = saved(tmp_path / "d.pt", {"train": train, "test": (X[:2], Y[:2]), "classes": ["a", "b", "c"]})
        assert load_data(path, "train").fingerprint == fingerprint_of_arrays(x=X_, y=Y_)
        assert len(load_data(path, "test")) == 2
        assert complaint(path) == "--data F holds the splits test, train; choose one with --split NAME"


def test_floats_that_numpy_lacks_are_taken_exactly(tmp_path: Path) -> None:
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float16):
        data = load_data(saved(tmp_path / "d.pt", {"x": X.to(dtype), "y": Y}))
        assert data.x.dtype == (np.float16 if dtype == torch.float16 else np.float32)
        np.testing.assert_array_equal(data.x, X.to(dtype).float().numpy())


def test_what_is_no_data(tmp_path: Path) -> None:
    held: list[Any] = []
    held.append(held)
    bomb: list[Any] = []
    for _ in range(60):
        bomb = [bomb, bomb]
    transformed = (
        "--data F: it holds a data set with a transform, which is not run; save the tensors that it makes, or "
    )
    for content, message in [
        ([X], "--data F: data is a list of 1: Tensor (8, 3); give (x, y), arrays of one sample a row; or "),
        (X, "--data F: data is a Tensor (8, 3); give (x, y), arrays of one sample a row; or a DataLoader, "),
        (None, "--data F: data is None; give (x, y)"),
        ((X, Y[:3]), "--data F: x has 8 samples and y has 3; give one target a sample"),
        (
            TensorDataset(X, Y, Y),
            "--data F: data is a tuple of 3: Tensor (8, 3), Tensor (8,), Tensor (8,); give (x, y)",
        ),
        (Own(transform=print), transformed),
        ({"train": Own(transform=print)}, transformed),
        ({"x": "three", "y": Y}, "--data F cannot be read: x is a str, no tensor"),
        ({"x": X.to_sparse(), "y": Y}, "--data F cannot be read: a tensor of torch.float32, torch.sparse_coo, is no"),
        ({"x": X}, f"--data F has no array y; it holds x float32 (8, 3); {NAMED['y']}"),
        ({"a\x1b[31m" * 40: X}, "--data F has no array x; it holds a\\x1b[31m"),
        ({"images": X, "features": X, "y": Y}, f"--data F: each of images, features may be x; {NAMED['x']}, and only"),
        (held, "--data F cannot be read: it holds a container that holds itself"),
        ({"x": bomb, "y": Y}, "--data F cannot be read: its containers unpack to far more than its size"),
    ]:
        assert complaint(saved(tmp_path / "d.pt", content)).startswith(message), content


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "d.pt"
    path.write_bytes(b"")
    assert complaint(path) == "--data F is empty; save x and y with torch.save"
    path.write_bytes(b"PK\x03\x04")
    assert complaint(path).endswith("; save x and y with torch.save")
    path.write_bytes(pickle.dumps((X_, Y_)))
    assert load_data(path).fingerprint == fingerprint_of_arrays(x=X_, y=Y_)


def test_a_tensor_that_repeats_what_is_stored_once_takes_no_memory(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        path = saved(tmp_path / "d.pt", {"x": X[:1, :1].to(dtype).expand(1 << 33, 4), "y": Y[:1].expand(1 << 33)})
        assert complaint(path) == (
            "--data F: x, float32 (8589934592, 4), takes 137,438,953,472 bytes, as it repeats numbers that are stored "
            "once, and --memory is 2,147,483,648; give --max-samples N, or --memory 137438953472"
        )
        with pytest.raises(Misuse, match=r"takes 1,649,267,441,664 bytes, more than this machine has free; give --max"):
            load_data(
                saved(path, {"x": X[:1].to(dtype).expand(1 << 37, 3), "y": Y[:1].expand(1 << 37)}), memory=1 << 60
            )
    path = saved(tmp_path / "d.pt", {"x": X[:1].expand(1 << 23, 3), "y": Y[:1].expand(1 << 23)})
    assert len(load_data(path, None, 5, memory=1)) == 5


def test_names_that_read_alike_are_two(tmp_path: Path) -> None:
    data = load_data(saved(tmp_path / "d.pt", {"x": {1: X, "1": X, (1, 2): Y, b"\x1b": Y}, "y": Y}))
    assert list(by_name(data.x, data.y)) == ["x['1']", "x['1 (2)']", "x['a tuple']", "x['a bytes']", "y"]
