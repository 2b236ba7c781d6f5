"""Each kind of damage is named, and a file that takes the process down is one verdict among others."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.quantities import Quantity
from scalecurv.store import verify as module
from scalecurv.store.frames import frame_of
from scalecurv.store.image import encode
from scalecurv.store.inspection import problems_of
from scalecurv.store.reader import FORMER, INDEX
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import TABLES as SCHEMA
from scalecurv.store.verify import Verdict, set_aside_files, verify
from scalecurv.store.writer import PARTS
from tests.commands import HANG
from tests.outcomes import exactly, outcome, record, sampled, store_of
from tests.store.forging import doubled, forged, sealed

FOUND = outcome(
    "/runs/a/step_1.pt",
    record("k1", {("trace", ""): sampled(12.3, 0.1), ("trace", "fc1"): sampled(2, 0.1)}, ritz=[1, 2]),
    record("k2", exactly(rank=5)),
    quantities=((Quantity("mine", "a number of my own"), "pkg.mod:Mine"),),
)
LABELS = {
    "runs": {"run": ["/runs/a"], "attributes": ['{"lr": 0.1}'], "created": [1.0]},
    "moves": {"path": ["/runs/b/step_1.pt"], "moved_to": ["/runs/a/step_1.pt"], "created": [1.0]},
}
TABLES = {**rows_of(FOUND), **{name: frame_of(data, SCHEMA[name]) for name, data in LABELS.items()}}
WHOLE = encode(TABLES)


def with_table(name: str, **columns: str) -> bytes:
    """Whole, but for a text that all rows of some table say."""
    frame = TABLES[name].assign(**{c: _all(text, len(TABLES[name])) for c, text in columns.items()})
    return encode({**TABLES, name: frame})


def _all(text: str, length: int) -> pd.Categorical:
    return (
        TABLES["estimates"]["key"].astype(object).iloc[:1].repeat(length).map(lambda _: text).astype("category").array
    )


def without(path: str) -> bytes:
    def edit(file: h5py.File) -> None:
        del file[path]

    return forged(TABLES, edit)


def foreign() -> bytes:
    def edit(file: h5py.File) -> None:
        file.clear()
        file.attrs.clear()
        file.create_dataset("x", data=np.arange(3.0), dtype="f8")

    return forged(TABLES, edit)


def flipped() -> bytes:
    middle = len(WHOLE) // 2
    return WHOLE[:middle] + bytes([WHOLE[middle] ^ 4]) + WHOLE[middle + 1 :]


def strange_label() -> bytes:
    """A position in the labels that there is not."""

    def edit(file: h5py.File) -> None:
        file["estimates"]["key"][...] = 99

    return forged(TABLES, edit)


DAMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: WHOLE[:-1], "is no scalecurv file, or it was cut short"),
    "empty": (lambda: b"", "is no scalecurv file, or it was cut short"),
    "flipped": (flipped, "is damaged (its content does not match its checksum)"),
    "garbage, sealed": (lambda: sealed(b"x" * 3000), "is no file of results ("),
    "foreign, sealed": (foreign, "is no file of results ("),
    "a table gone, sealed": (lambda: without("arrays"), "is no file of results ("),
    "a column gone, sealed": (lambda: without("files/size"), "is no file of results (table files has no column size)"),
    "labels gone, sealed": (lambda: without("tasks/label"), "has no table tasks that can be read ("),
    "a label that is not there": (strange_label, "has no table estimates that can be read ("),
    "unknown status": (
        lambda: with_table("estimates", status="splendid"),
        "has estimates of unknown status splendid",
    ),
    "attributes of runs": (
        lambda: with_table("runs", attributes="[1]"),
        "has attributes of 1 run(s) that are no JSON object, such as /runs/a",
    ),
    **{
        f"{name} twice": (
            lambda name=name: encode({**TABLES, name: doubled(TABLES[name])}),
            f"holds 1 row(s) of {name} twice",
        )
        for name in TABLES
    },
    **{
        f"{table}.{column}": (
            lambda table=table, column=column: with_table(table, **{column: "lost"}),
            f"has 1 {column}(s) in {table} that {home} does not know",
        )
        for table, column, home in [
            ("estimates", "fingerprint", "checkpoints"),
            ("estimates", "provenance_id", "provenance"),
            ("estimates", "task_id", "tasks"),
            ("arrays", "fingerprint", "checkpoints"),
        ]
    },
}


def test_each_kind_of_damage_is_named(tmp_path: Path) -> None:
    for kind in DAMAGE:
        make, message = DAMAGE[kind]
        path = tmp_path / "part.h5"
        path.write_bytes(make())
        (problem,) = problems_of(path)
        assert problem.startswith(f"{path} {message}")
        assert message.endswith("(") or problem == f"{path} {message}"


def test_whole_files_and_files_that_are_gone_have_no_problems(tmp_path: Path) -> None:
    (tmp_path / "part.h5").write_bytes(WHOLE)
    assert problems_of(tmp_path / "part.h5") == []
    assert problems_of(tmp_path / "gone.h5") == []


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    tables = {**TABLES, "files": doubled(TABLES["files"]), "tasks": TABLES["tasks"][:0]}
    path.write_bytes(encode(tables))
    unknown = "has 1 task_id(s) in estimates that tasks does not know"
    assert problems_of(path) == [f"{path} holds 1 row(s) of files twice", f"{path} {unknown}"]


CHILD = """#!/bin/sh
echo $$ >> "$0.pids"
echo "[]"
while read -r line; do
  case "$line" in
    *hang*) exec sleep 7200 ;;
    *crash*) kill -9 $$ ;;
    *leaves*) echo '["it said so"]' ; exit ;;
    *) echo '[]' ;;
  esac
done
"""


@pytest.fixture(name="child")
def _child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for the process that opens the files: what it does is said by their names."""
    script = tmp_path / "child"
    script.write_text(CHILD)
    script.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(script))
    return script


def alive(script: Path) -> list[str]:
    pids = Path(f"{script}.pids").read_text().split()
    return [pid for pid in pids if Path("/proc", pid).exists()]


@pytest.mark.fault
def test_a_file_that_takes_the_child_down_is_a_verdict_and_the_rest_is_checked(tmp_path: Path, child: Path) -> None:
    store = store_of(tmp_path / "store")
    names = ["0.h5", "1-crash.h5", "2-crash.h5", "3.h5", "4-leaves.h5", "5.h5"]
    paths = [*(store / PARTS / name for name in names), store / INDEX, store / FORMER]
    for path in paths:
        path.touch()
    verdicts = {verdict.path: verdict.problems for verdict in verify(store, seconds=HANG)}
    assert list(verdicts) == paths  # in this order: what was written before the store was merged first
    gone = f"cannot be opened: HDF5 crashed on it, or took longer than {HANG} s"
    crashed = [(f"{path} {gone}",) for path in paths[1:3]]
    # the one that answered and then went away is found out at the next
    assert list(verdicts.values()) == [(), *crashed, (), ("it said so",), (f"{paths[5]} {gone}",), (), ()]
    assert alive(child) == []


@pytest.mark.fault
def test_a_file_that_takes_too_long_is_a_verdict_and_the_next_one_is_asked_of_another_child(
    tmp_path: Path, child: Path
) -> None:
    store = store_of(tmp_path / "store")
    paths = [store / PARTS / name for name in ("0-hang.h5", "1-hang.h5")]
    for path in paths:
        path.touch()
    start = time.monotonic()
    verdicts = list(verify(store, seconds=0.4))
    assert 0.8 < time.monotonic() - start < HANG  # the child would take longer still
    gone = "cannot be opened: HDF5 crashed on it, or took longer than 0.4 s"
    assert verdicts == [Verdict(path, (f"{path} {gone}",)) for path in paths]
    assert len(set(Path(f"{child}.pids").read_text().split())) == 2
    assert alive(child) == []


def test_no_child_outlives_a_reader_who_stops_early(tmp_path: Path, child: Path) -> None:
    store = store_of(tmp_path / "store")
    for name in ("0.h5", "1.h5"):
        (store / PARTS / name).touch()
    verdicts = verify(store)
    assert next(verdicts) == Verdict(store / PARTS / "0.h5")
    assert len(alive(child)) == 1
    verdicts.close()
    assert alive(child) == []


def test_one_child_for_all_that_is_whole(tmp_path: Path, child: Path) -> None:
    store = store_of(tmp_path / "store")
    for i in range(5):
        (store / PARTS / f"{i}.h5").touch()
    assert [verdict.problems for verdict in verify(store)] == [()] * 5
    assert len(Path(f"{child}.pids").read_text().split()) == 1


def test_no_store_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is no store"):
        list(verify(tmp_path / "missing"))
    assert list(verify(store_of(tmp_path / "store"))) == []


def test_what_was_set_aside(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for path in (store / "b.broken", store / PARTS / "a.broken", store / PARTS / "a.h5"):
        path.touch()
    assert set_aside_files(store) == [store / "b.broken", store / PARTS / "a.broken"]
    assert os.listdir(store / PARTS)
