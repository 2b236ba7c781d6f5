"""Parquet: which columns are x and y, in what order, and that nothing in a file or its name is taken for more."""

from pathlib import Path

import numpy as np
import pytest

from scalecurv.data import parquet
from scalecurv.data.load import load_data
from scalecurv.errors import Misuse
from tests.data.writers import save_frame, save_lists, save_numbered

X = np.linspace(-1, 1, 60).reshape(5, 12)
Y = np.arange(5)
NULLS = "holds nulls; leave their rows out or fill them in"
LENGTH = "give them one length, for example by padding"
FEATURES = "give a column y, and a list column x or columns numbered x0, x1, ..., none left out"


def complaint(path: Path) -> str:
    with pytest.raises(Misuse) as caught:
        load_data(path)
    return str(caught.value).replace(str(path), "F")


@pytest.mark.parametrize("at_a_time", [1, 5, 64])
@pytest.mark.parametrize("first", [0, 1])
def test_numbered_columns_in_the_order_of_their_numbers(
    tmp_path: Path, first: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "COLUMNS_AT_A_TIME", at_a_time)
    columns = {f"x{j + first}": X[:, j] for j in np.random.default_rng(0).permutation(12)}
    save_frame(tmp_path / "d.parquet", **columns, y=Y, note=list("abcde"))
    found = load_data(tmp_path / "d.parquet")
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)


def test_numbers_keep_their_type(tmp_path: Path) -> None:
    for kind in [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "utinyint",
        "usmallint",
        "uinteger",
        "ubigint",
        "float",
    ]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        x = np.arange(6).reshape(3, 2) % 2
        types = {"boolean": "?", "float": "f4", "tinyint": "i1", "smallint": "i2", "integer": "i4", "bigint": "i8"}
        dtype = types.get(kind) or types[kind[1:]].replace("i", "u")
        for columns in (f"x::{kind}[] as x, y::{kind} as y", f"x::{kind}[2] as x, y::{kind}[2] as y"):
            save_frame(folder / "d.parquet", columns, x=x, y=x if "[2] as y" in columns else x[:, 1])
            found = load_data(folder / "d.parquet")
            assert (found.x.dtype, found.y.dtype) == (dtype, dtype)
            np.testing.assert_array_equal(found.x, x)
            np.testing.assert_array_equal(found.y, x if "[2] as y" in columns else x[:, 1])


def test_columns_of_several_types_are_numbers_that_hold_them_all(tmp_path: Path) -> None:
    save_frame(tmp_path / "d.parquet", "x0::float as x0, x1::utinyint as x1, y", x0=[0.5, 1], x1=[3, 4], y=[0, 1])
    found = load_data(tmp_path / "d.parquet").x
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0.5, 3], [1, 4]])


def test_features_are_never_guessed(tmp_path: Path) -> None:
    for columns, wanted in [
        (["a", "b", "y"], "has no array x; it holds a int64 (5,), b int64 (5,), y int64 (5,); name the inputs"),
        (["x0", "x1"], "has no array y; it holds x float"),
        (["x0", "x2", "y"], "has the columns x0, x2, y; "),
        (["x2", "x3", "y"], "has the columns x2, x3, y; "),
        (["x0", "x_1", "y"], "has the columns x0, x_1, y; "),
        (["x0", "x00", "y"], "has the columns x0, x00, y; "),
        (["x0", "x1", "x", "y"], "has the columns x0, x1, x, y; "),
        (["x0", "x99999999999999999999", "y"], "has the columns x0, x99999999999999999999, y; "),
    ]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        save_frame(folder / "d.parquet", **dict.fromkeys(columns, Y))
        told = complaint(folder / "d.parquet")
        assert told.startswith(f"--data F {wanted}".replace("x float", "x int64 (5, 2); name the targets"))
        assert FEATURES in told or "has no array" in told


def test_of_many_columns_some_are_named(tmp_path: Path) -> None:
    save_frame(tmp_path / "d.parquet", **{f"c{i}": Y for i in range(30)})
    some = ", ".join(f"c{i} int64 (5,)" for i in range(8))
    assert complaint(tmp_path / "d.parquet").startswith(f"--data F has no array x; it holds {some}, and 22 more; ")
    save_frame(tmp_path / "d.parquet", **{f"x{i + 2}": Y for i in range(30)})
    some = ", ".join(f"x{i + 2}" for i in range(12))
    assert complaint(tmp_path / "d.parquet") == f"--data F has the columns {some}, ...; {FEATURES}"


def test_lists_of_lists_are_arrays_of_more_axes(tmp_path: Path) -> None:
    images = np.arange(48, dtype=np.float32).reshape(2, 3, 4, 2)
    for kind in ("float[][][]", "float[2][4][3]"):
        save_frame(tmp_path / "d.parquet", f"x::{kind} as x, y", x=[image.tolist() for image in images], y=[1, 0])
        found = load_data(tmp_path / "d.parquet")
        np.testing.assert_array_equal(found.x, images)
        assert found.x.dtype == np.float32
    for columns, message in [
        ("[[i], range(1 + i)] as x, i as y", f"x holds lists of 1 to 2 entries; {LENGTH}"),
        ("case when i = 0 then [[1]] else [[1], [2]] end as x, i as y", f"x holds lists of 1 to 2 entries; {LENGTH}"),
        ("[[i], case when i = 0 then [1] end] as x, i as y", f"x {NULLS}"),
        ("[[i], [nullif(i, 1)]] as x, i as y", f"x {NULLS}"),
    ]:
        save_frame(tmp_path / "d.parquet", columns, i=np.arange(2, dtype=np.int32))
        assert complaint(tmp_path / "d.parquet") == f"--data F: {message}"


def test_columns_of_a_tokenizer_are_parts_by_name(tmp_path: Path) -> None:
    ids = np.arange(12).reshape(4, 3)
    save_frame(tmp_path / "d.parquet", input_ids=ids, attention_mask=ids % 2, labels=[0, 1, 0, 1], text=list("abcd"))
    found = load_data(tmp_path / "d.parquet", None, 2)
    assert found.x.tree.keys() == {"input_ids", "attention_mask"}
    np.testing.assert_array_equal(found.x.tree["attention_mask"], found.x.tree["input_ids"] % 2)
    assert len(found.y) == 2


X2 = "[i, 0.5]::float[] as x"


def test_columns_that_do_not_do(tmp_path: Path) -> None:
    for columns, message in [
        ("range(1 + i) as x, i as y", f"x holds lists of 1 to 2 entries; {LENGTH}"),
        ("case when i = 0 then [1, 2] end as x, i as y", f"x {NULLS}"),
        ("[i, nullif(i, 1)] as x, i as y", f"x {NULLS}"),
        (f"{X2}, nullif(i, 1) as y", f"y {NULLS}"),
        ("i as x0, nullif(i, 1) as x1, i as y", f"x1 {NULLS}"),
        (f"{X2}, i as y, case when i = 0 then 'a' end as split", f"split {NULLS}"),
        (f"{X2}, i as y, i as split", "the column split is INTEGER; make it text, the name of a split"),
        (f"{X2}, 'a' as y", "y is of type VARCHAR; give numbers, or lists of them to any depth"),
        ("{'a': i} as x, i as y", "x is of type STRUCT(a INTEGER); give numbers, or lists of them to any depth"),
        ("[i] as x0, i as y", "x0 is of type INTEGER[]; give numbers"),
        (f"{X2}, i::decimal(4, 2) as y", "y is of type DECIMAL(4,2); give numbers, or lists of them to any depth"),
        (f"{X2}, 0 / i::double as y", "y holds 1 NaN or infinite value(s); remove them first"),
    ]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        save_frame(folder / "d.parquet", columns, i=np.arange(2, dtype=np.int32))
        assert complaint(folder / "d.parquet") == f"--data F: {message}"


@pytest.mark.parametrize("name", ["d[1].parquet", "*.parquet", "d'); drop table t; --.parquet", "y=7/d.parquet"])
def test_a_name_is_one_file_and_no_pattern_query_or_column(tmp_path: Path, name: str) -> None:
    for decoy in ("d1.parquet", "other.parquet"):
        save_numbered(tmp_path / decoy, X[:3] + 1, Y[:3])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    save_lists(tmp_path / name, X, Y)
    found = load_data(tmp_path / name)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)


def test_splits_of_any_name(tmp_path: Path) -> None:
    names = ["a/b", "' or 1=1 --", "a/b", "_", ""]
    save_lists(tmp_path / "d.parquet", X, Y, split=names)
    for name in names:
        found = load_data(tmp_path / "d.parquet", name) if name else None
        if found:
            np.testing.assert_array_equal(found.y, [i for i in range(5) if names[i] == name])


def test_rows_of_many_groups_stay_in_their_order(tmp_path: Path) -> None:
    """Far more rows than one group holds, which several threads may read."""
    y = np.random.default_rng(0).integers(0, 1 << 30, 300_000)
    save_frame(tmp_path / "d.parquet", "y, [y, -y] as x", y=y)
    found = load_data(tmp_path / "d.parquet")
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(found.x, np.column_stack([y, -y]))
