"""What earlier releases wrote is read and merged; what later ones wrote is refused, and left as it is."""

import math
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest

from scalecurv.errors import Misuse
from scalecurv.record import Asked
from scalecurv.store.compact import Merge, compact
from scalecurv.store.decode import BrokenFile, decode
from scalecurv.store.inspection import problems_of
from scalecurv.store.reader import FORMER, INDEX, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import ADDED, ADDED_TABLES, VERSION
from scalecurv.store.writer import PARTS, write_part
from tests.outcomes import cells, exactly, outcome, record, sampled, store_of
from tests.store.forging import OLD, listing, of_schema

Cells = dict[str, list[dict[str, Any]]]
PATH = "/runs/a/step_10.pt"
HELD = rows_of(
    outcome(
        PATH,
        record("k1", {("trace", ""): sampled(12.3, 0.1), ("trace", "fc1"): sampled(2, 0.1)}, ritz=[1, 2, 3.5], none=[]),
        record("k2", exactly(rank=5), singular_values=[2.5]),
    )
)
NEW = outcome(PATH, record("k2", exactly(rank=6)), record("k3", exactly(loss=0.5)), total_matvecs=5, created=200.0)


def test_the_files_are_of_earlier_schemas() -> None:
    for version, path in OLD.items():
        with h5py.File(path, "r") as file:
            assert int(file.attrs["schema_version"]) == version
            assert (h5py.check_string_dtype(file["estimates"]["key"].dtype) is not None) == (version == 1)
            there = {(table, name) for table in file for name in file[table]}
            assert there & ADDED.keys() == {column for column, (since, _) in ADDED.items() if since <= version}
            assert {table for table in file if table in ADDED_TABLES} == set()


@pytest.mark.parametrize("version", OLD)
def test_they_read_as_what_they_hold(version: int) -> None:
    assert cells(decode(OLD[version])) == as_old(cells(HELD), version)
    assert problems_of(OLD[version]) == []


def as_old(held: Cells, version: int) -> Cells:
    """Return the cells of today as a file of that schema has them: without what it did not record."""
    lacking = {(table, column): repr(value) for (table, column), (since, value) in ADDED.items() if since > version}
    return {
        table: [{column: lacking.get((table, column), cell) for column, cell in row.items()} for row in rows]
        for table, rows in held.items()
    }


def test_what_they_lack_reads_as_what_it_was() -> None:
    """Whole data without a split, no weight decay, all weights, and no record of how sharply a measure was asked."""
    tables = decode(OLD[2])
    assert {(table, name): tables[table].iloc[0][name] for table, name in ADDED} == {
        ("tasks", "split"): "", ("tasks", "num_available"): 0, ("tasks", "sample_seed"): -1,
        ("tasks", "weight_decay"): 0.0, ("tasks", "weights"): "", ("tasks", "ignored"): "",
        **{(table, "rtol"): math.inf for table in ("estimates", "arrays")},
        **{(table, name): -1 for table in ("estimates", "arrays") for name in ("max_matvecs", "memory")},
    }  # fmt: skip
    assert [len(tables[name]) for name in ADDED_TABLES] == [0, 0, 0]


def test_a_request_is_met_where_it_was_met_and_how_sharply_was_not_recorded(tmp_path: Path) -> None:
    """A rank without an interval is done; a trace within 0.8 % is done at 1 %, and not at 0.1 %."""
    store = store_of(tmp_path)
    shutil.copyfile(OLD[3], store / INDEX)
    stored = read_store(store).stored
    assert stored.keys() == {"k1", "k2"}
    asked = [Asked(rtol, 10**6, 1 << 40) for rtol in (0.01, 0.001)]
    assert [[stored[key].meets(one) for one in asked] for key in ("k1", "k2")] == [[True, False], [True, True]]


@pytest.mark.parametrize(("version", "place"), [(1, INDEX), (2, f"{PARTS}/00000000000001-0.h5"), (3, INDEX)])
def test_they_merge_with_parts_of_today(tmp_path: Path, place: str, version: int) -> None:
    store = store_of(tmp_path)
    shutil.copyfile(OLD[version], store / place)
    assert cells(read_store(store).tables) == as_old(cells(HELD), version)
    write_part(store, NEW)
    before = cells(read_store(store).tables)
    assert {(row["key"], row["value"]) for row in before["estimates"]} == {
        ("'k1'", "12.3"),
        ("'k1'", "2.0"),
        ("'k2'", "5.0"),  # how sharply it was asked is not known: either may be what a request needs
        ("'k2'", "6.0"),
        ("'k3'", "0.5"),
    }
    assert [row["total_matvecs"] for row in before["checkpoints"]] == ["35"]
    assert compact(store) == Merge(2 - (place == INDEX), 5, {})
    assert cells(read_store(store).tables) == before
    assert problems_of(store / INDEX) == []
    with h5py.File(store / INDEX, "r") as file:
        assert int(file.attrs["schema_version"]) == VERSION
    assert [path.read_bytes() for path in store.glob(FORMER)] == [OLD[version].read_bytes()] * (place == INDEX)


@pytest.mark.parametrize("place", [f"{PARTS}/99-0.h5", INDEX])
@pytest.mark.parametrize("version", [VERSION + 1, 0])
def test_another_schema_is_refused_and_nothing_is_touched(tmp_path: Path, place: str, version: int) -> None:
    store = store_of(tmp_path, NEW)
    (store / place).write_bytes(of_schema(HELD, version))
    before = listing(store)
    message = f"{store / place} has schema {version}, this release reads 1 to {VERSION}; upgrade scalecurv to read it"
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
