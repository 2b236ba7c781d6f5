"""Directories of data: which files are put together, in which order, and what is not put together."""

from pathlib import Path

import numpy as np
import pytest

from scalecurv.data.load import load_data
from scalecurv.errors import Misuse
from tests.data.writers import save_lists, save_pt

X = np.linspace(-1, 1, 24).reshape(12, 2)
Y = np.arange(12)
KINDS = ".npz, .npy, .pt, .safetensors, .h5 or .parquet"


def fill(folder: Path, *names: str) -> Path:
    """As many samples in each file as its place in `names`, one in the first."""
    start = 0
    for count, name in enumerate(names, 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save = {".npz": np.savez, ".pt": save_pt, ".parquet": save_lists}[Path(name).suffix]
        save(folder / name, x=X[start : start + count], y=Y[start : start + count])
        start += count
    return folder


def complaint(folder: Path, split: str | None = None) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(folder, split)
    return str(caught.value).replace(str(folder), "D")


def test_shards_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """`names` are in the order wanted; those after the samples of the split are of another."""
    for names, split in [
        (["shard_2.npz", "shard_10.npz", "shard_100.npz"], None),
        (["2.pt", "10.pt"], None),
        (["train-00000-of-00003.parquet", "train-00001-of-00003.parquet", "train-00002-of-00003.parquet"], None),
        (["a-00000-of-00002-0123456789abcdef.parquet", "a-00001-of-00002-fedcba9876543210.parquet"], None),
        (["x.2023.12.npz", "x.2024.1.npz", "x.2024.11.npz"], None),
        (["train/1.npz", "train/2.npz", "test.npz"], "train"),
        (["train.npz", "test.npz"], "train"),
        (["train-0-of-2.npz", "train-1-of-2.npz", "test-0-of-1.npz"], "train"),
        (["fold1.npz", "fold2.npz"], "fold1"),
        (["alone.npz"], None),
        (["alone.npz"], "alone"),
    ]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        fill(folder, *names)
        (folder / "README.md").write_text("what this is")
        (folder / ".hidden.pt").write_text("")
        (folder / "notes").mkdir()
        fill(folder / ".cache", "0.npz")
        own = [name for name in names if split is None or name.startswith(split)]
        count = sum(range(1, len(own) + 1))
        data = load_data(folder, split)
        np.testing.assert_array_equal(data.y, Y[:count])
        np.testing.assert_array_equal(data.x, X[:count])


def test_every_shard_may_have_the_splits(tmp_path: Path) -> None:
    for i in range(2):
        np.savez(tmp_path / f"part-{i}.npz", x_val=X[i::2], y_val=Y[i::2], x_train=X, y_train=Y)
    np.testing.assert_array_equal(load_data(tmp_path, "val").y, [*range(0, 12, 2), *range(1, 12, 2)])
    assert complaint(tmp_path) == "--data D/part-0.npz holds the splits train, val; choose one with --split NAME"
    assert complaint(tmp_path, "test") == "--data D/part-0.npz has no split 'test'; it holds train, val"


def test_what_is_not_put_together(tmp_path: Path) -> None:
    for names, split, message in [
        (["a_1.npz", "a_2.pt"], None, ": a_2.pt is of another kind than a_1.npz; keep files of one suffix"),
        (["train.npz", "test.npz"], None, " holds the splits test, train; choose one with --split NAME"),
        (["train/0.npz", "0.npz"], None, " holds the splits train; choose one with --split NAME"),
        (["train.npz", "test/0.npz"], "val", " has no split 'val'; it holds test, train"),
        (["train.npz", "train/0.npz"], "train", " holds split train twice, train.npz and train/; keep one"),
        (["train.npz", "train.pt"], "train", ": train.pt is of another kind than train.npz; keep files of one suffix"),
        (["a.npz", "a_1.npz"], None, ": a.npz stands beside a_1.npz, which has a number; keep one of the two"),
        (["t-0-of-3.npz", "t-2-of-3.npz"], None, " has 2 of the 3 files of t-0-of-3.npz; add the others"),
        (["train/a.npz"], "../train", " has no split '../train'; it holds train"),
        (["train/0.npz", "train/test/0.npz"], "train", "/train holds the splits test; choose one with --split NAME"),
    ]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        assert complaint(fill(folder, *names), split) == f"--data D{message}"


def test_a_directory_without_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert complaint(tmp_path) == f"--data D holds no data; give files {KINDS} with arrays x and y"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X[:, :1]}, ": x holds float64 (1,) a sample, but s_1.npz has float64 (2,)"),
        ({"x": X.astype(np.float32)}, ": x holds float32 (2,) a sample, but s_1.npz has float64 (2,)"),
        ({"y": X}, ": y holds float64 (2,) a sample, but s_1.npz has int64 ()"),
    ],
)
def test_shards_that_differ(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "s_1.npz", x=X, y=Y)
    np.savez(tmp_path / "s_2.npz", **{"x": X, "y": Y, **arrays})
    assert complaint(tmp_path) == f"--data D/s_2.npz{message}; give shards of one shape and dtype"


def test_a_shard_that_is_no_data_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "s_1.npz", "s_2.npz")
    np.savez(tmp_path / "s_2.npz", x=np.where(X > 0, np.nan, X), y=Y)
    assert complaint(tmp_path) == "--data D: x holds 12 NaN or infinite value(s); remove them first"
    (tmp_path / "s_2.npz").write_bytes(b"no archive")
    assert complaint(tmp_path) == "--data D/s_2.npz cannot be read: File is not a zip file"


def test_shards_of_another_byte_order_are_the_same_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "s_1.npz", x=X[:5].astype(">f8"), y=Y[:5])
    np.savez(tmp_path / "s_2.npz", x=X[5:], y=Y[5:].astype(">i8"))
    data = load_data(tmp_path)
    assert (data.x.dtype, data.y.dtype) == ("=f8", "=i8")
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)
