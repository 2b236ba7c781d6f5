"""Forgotten checkpoints leave with all that nothing else needs, and come back by a rename; runs may be unmounted."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalecurv.errors import Misuse, StoreError
from scalecurv.store import forget as module
from scalecurv.store.compact import compact
from scalecurv.store.decode import decode
from scalecurv.store.forget import forget
from scalecurv.store.inspection import problems_of
from scalecurv.store.leaving import is_gone
from scalecurv.store.reader import FORGOTTEN, INDEX, parts_of, read_store
from scalecurv.store.writer import PARTS, write_part
from tests.outcomes import exactly, failure, outcome, record, store_of
from tests.store.forgetting import Row, expected, held, merged_store, store_at
from tests.store.forging import listing

pytestmark = pytest.mark.usefixtures("decoded_once")
GONE = ("a/step_2.pt", "a/step_3.pt", "b/step_5.pt", "b/step_1.pt")
CHOICES: list[tuple[dict[str, Any], Callable[[Row], bool]]] = [
    ({"missing": True}, lambda row: row["path"].strip("'").endswith(GONE)),
    ({"run": "a"}, lambda row: row["run"].endswith("/a'")),
    ({"run": "b", "missing": True}, lambda row: row["path"].strip("'").endswith(("b/step_5.pt", "b/step_1.pt"))),
    ({"task": "t2"}, lambda row: row["task_id"] == "'t2'"),
    ({"task": "t1", "run": "a"}, lambda row: row["task_id"] == "'t1'" and row["run"].endswith("/a'")),
    ({"task": "t1"}, lambda row: row["task_id"] == "'t1'"),
]


@pytest.fixture(scope="module", name="root")
def _root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of checkpoints, some of them gone, and of their store, most of it merged."""
    root = tmp_path_factory.mktemp("forget")
    store_at(root, GONE)
    return root


@pytest.fixture(name="store")
def _store(root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(root / "store", tmp_path / "store")


@pytest.mark.parametrize("choice", range(len(CHOICES)))
def test_what_leaves_is_what_a_loop_finds_and_a_rename_brings_it_back(store: Path, choice: int) -> None:
    options, goes = CHOICES[choice]
    before, left = held(store), expected(store, goes)
    files = listing(store)
    dry = forget(store, **options, dry_run=True)
    assert listing(store) == files
    result = forget(store, **options)
    assert result.checkpoints.equals(dry.checkpoints)
    assert (result.estimates, result.left_alone) == (dry.estimates, dry.left_alone) == (dry.estimates, {})
    assert held(store) == left
    assert sorted(result.checkpoints["path"]) != []
    assert result.file is not None
    assert (
        result.estimates == len(decode(result.file)["estimates"]) == len(before["estimates"]) - len(left["estimates"])
    )
    assert problems_of(result.file) == problems_of(store / INDEX) == []
    shutil.move(result.file, store / PARTS)
    assert held(store) == before
    compact(store)
    assert held(store) == before
    assert problems_of(store / INDEX) == []


def test_former_rows_of_a_path_and_its_former_names_leave_too(root: Path, store: Path) -> None:
    """No row of the run stays in the index, neither the analysis before the last one nor the name before the last."""
    compact(store)
    assert sorted(Path(path).parent.name for path in decode(store / INDEX)["checkpoints"]["path"]).count("old") == 1
    result = forget(store, run=str(root / "a"))
    rows = decode(store / INDEX)["checkpoints"]
    assert {Path(path).parent.name for path in rows["path"]} == {"b"}
    assert result.file is not None
    assert {Path(path).parent.name for path in decode(result.file)["checkpoints"]["path"]} == {"a", "old"}
    assert len(decode(store / INDEX)["moves"]) == 0


def test_a_run_of_which_no_file_is_there_is_left_alone(tmp_path: Path) -> None:
    """Its disk may not be mounted, whether the mount point is there or not."""
    store = store_at(tmp_path, GONE)
    for remove in (lambda: shutil.rmtree(tmp_path / "a"), lambda: (tmp_path / "a").mkdir()):
        remove()
        result = forget(store, missing=True, dry_run=True)
        assert result.left_alone == {str(tmp_path / "a"): 4}
        assert set(result.checkpoints["run"]) == {str(tmp_path / "b")}
    forget(store, missing=True)
    assert forget(store, missing=True).file is None
    assert forget(store, missing=True, run="a").left_alone == {}
    assert {Path(run).name for run in read_store(store).tables["checkpoints"]["run"]} == {"b"}


def test_nothing_to_forget_writes_nothing(store: Path) -> None:
    forget(store, missing=True)
    files = listing(store)
    result = forget(store, missing=True)
    assert (result.file, result.estimates, len(result.checkpoints)) == (None, 0, 0)
    assert listing(store) == files


def test_only_what_is_known_to_be_gone_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.pt").touch()
    (tmp_path / "dangling.pt").symlink_to(tmp_path / "nothing")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.pt")
    Path(odd).touch()
    stored = odd.encode("utf-8", "backslashreplace").decode()  # as a store writes it
    paths = {
        "there.pt": False, "gone.pt": True, "dangling.pt": True, "there.pt/below": True, stored: False,
        "odd\\udcfe.pt": True,
    }  # fmt: skip
    assert {name: is_gone(str(tmp_path / name)) for name in paths} == paths

    def refused(path: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "stat", refused)
    assert not is_gone(str(tmp_path / "gone.pt"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "nothing says what to forget; give --missing, --run RUN or --task TASK"),
        ({"run": "c"}, "{store} holds no run c; give one of: {root}/a, {root}/b"),
        ({"task": "t3"}, "{store} holds no task t3; give one of: t1, t2"),
        ({"task": "t"}, "task t is the name of 2 in {store}; give one whole: t1, t2"),
    ],
)
def test_what_is_not_known_is_told_with_what_there_is(
    root: Path, store: Path, options: dict[str, Any], text: str
) -> None:
    before = held(store)
    for dry_run in (True, False):
        with pytest.raises(Misuse) as caught:
            forget(store, **options, dry_run=dry_run)
        assert str(caught.value) == text.format(store=store, root=root)
    assert held(store) == before


def test_an_empty_store_a_name_of_two_runs_and_many_runs(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"holds no run a; give one of: \(it is empty\)$"):
        forget(store_of(tmp_path / "empty"), run="a")
    store = merged_store(tmp_path / "store", *(failure(f"/x/{i}/a/step_1.pt") for i in range(10)))
    with pytest.raises(Misuse, match=r"^run a is the name of 10 in .*: /x/0/a, .*, /x/7/a, \.\.\.$"):
        forget(store, run="a")
    assert len(forget(store, run="/x/3/a", dry_run=True).checkpoints) == 1


def test_a_run_whose_name_is_not_utf8_is_known_by_its_bytes_and_as_the_store_spells_it(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/runs/odd\xff")
    for name in (odd, "odd\udcff", "/runs/odd\\udcff", "odd\\udcff"):
        store = merged_store(tmp_path / str(len(os.listdir(tmp_path))), outcome(f"{odd}/1.pt", run=odd))
        assert len(forget(store, run=name).checkpoints) == 1


def test_only_one_process_merges(store: Path) -> None:
    with open(store / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as caught:
            forget(store, run="a")
    assert str(caught.value) == f"another process is merging {store}; run the same again"


def test_what_a_sweep_writes_meanwhile_stays(root: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that comes after the merge is not touched, and its numbers are all there."""
    late = outcome(str(root / "a" / "step_1.pt"), record("late", exactly(loss=5.0)), created=400.0)
    written: list[Path] = []

    def slow(*arguments: Any) -> Any:
        written.append(write_part(store, late))
        return leaving(*arguments)

    leaving = module.leaving
    monkeypatch.setattr(module, "leaving", slow)
    forget(store, run="a")
    assert parts_of(store) == written
    estimates = read_store(store).tables["estimates"]
    assert estimates.loc[estimates["fingerprint"] == late.fingerprint, "key"].tolist() == ["late"]
    assert len(os.listdir(store / FORGOTTEN)) == 1
