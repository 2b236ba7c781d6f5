"""What earlier releases wrote is read and merged; what later ones wrote is refused, and left as it is."""

import shutil
from pathlib import Path

import h5py
import pytest

from scalecurv.errors import Misuse
from scalecurv.store.compact import Merge, compact
from scalecurv.store.image import BrokenFile, decode
from scalecurv.store.inspection import problems_of
from scalecurv.store.reader import FORMER, INDEX, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import ADDED
from scalecurv.store.writer import PARTS, write_part
from tests.outcomes import cells, exactly, outcome, record, sampled, store_of
from tests.store.forging import OLD, listing, of_schema

PATH = "/runs/a/step_10.pt"
HELD = rows_of(
    outcome(
        PATH,
        record("k1", {("trace", ""): sampled(12.3, 0.1), ("trace", "fc1"): sampled(2, 0.1)}, ritz=[1, 2, 3.5], none=[]),
        record("k2", exactly(rank=5), singular_values=[2.5]),
    )
)
NEW = outcome(PATH, record("k2", exactly(rank=6)), record("k3", exactly(loss=0.5)), total_matvecs=5, created=200.0)


def test_the_files_are_of_the_first_schemas() -> None:
    for version, path in OLD.items():
        with h5py.File(path, "r") as file:
            assert int(file.attrs["schema_version"]) == version
            assert (h5py.check_string_dtype(file["estimates"]["key"].dtype) is not None) == (version == 1)
            assert not ADDED.keys() & {("tasks", name) for name in file["tasks"]}


@pytest.mark.parametrize("version", OLD)
def test_they_read_as_what_they_hold(version: int) -> None:
    assert cells(decode(OLD[version])) == cells(HELD)
    assert problems_of(OLD[version]) == []


def test_what_they_lack_reads_as_what_it_was() -> None:
    """Whole data without a split, and no weight decay."""
    row = decode(OLD[2])["tasks"].iloc[0]
    assert {name: row[name] for _, name in ADDED} == {
        "split": "", "num_available": 0, "sample_seed": -1, "weight_decay": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(("version", "place"), [(1, INDEX), (2, f"{PARTS}/00000000000001-0.h5")])
def test_they_merge_with_parts_of_today(tmp_path: Path, place: str, version: int) -> None:
    store = store_of(tmp_path)
    shutil.copyfile(OLD[version], store / place)
    assert cells(read_store(store).tables) == cells(HELD)
    write_part(store, NEW)
    before = cells(read_store(store).tables)
    assert {(row["key"], row["value"]) for row in before["estimates"]} == {
        ("'k1'", "12.3"),
        ("'k1'", "2.0"),
        ("'k2'", "6.0"),
        ("'k3'", "0.5"),
    }
    assert [row["total_matvecs"] for row in before["checkpoints"]] == ["35"]
    assert compact(store) == Merge(2 - (place == INDEX), 4, {})
    assert cells(read_store(store).tables) == before
    assert problems_of(store / INDEX) == []
    with h5py.File(store / INDEX, "r") as file:
        assert int(file.attrs["schema_version"]) == 4
    assert [path.read_bytes() for path in store.glob(FORMER)] == [OLD[version].read_bytes()] * (place == INDEX)


@pytest.mark.parametrize("place", [f"{PARTS}/99-0.h5", INDEX])
@pytest.mark.parametrize("version", [5, 0])
def test_another_schema_is_refused_and_nothing_is_touched(tmp_path: Path, place: str, version: int) -> None:
    store = store_of(tmp_path, NEW)
    (store / place).write_bytes(of_schema(HELD, version))
    before = listing(store)
    message = f"{store / place} has schema {version}, this release reads 1 to 4; upgrade scalecurv to read it"
    for act in (read_store, compact):
        with pytest.raises(Misuse) as caught:
            act(store)
        assert str(caught.value) == message
    assert listing(store) == before
    assert problems_of(store / place) == [message]


def test_a_schema_that_is_no_number_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    path.write_bytes(of_schema(HELD, "new"))
    with pytest.raises(BrokenFile) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path} is no file of results (")
