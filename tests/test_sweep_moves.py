"""Renamed files are no ghosts: their rows follow them, nothing is computed again, and copies stay copies."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from scalecurv.analysis import Request
from scalecurv.errors import StoreError
from scalecurv.measures import measures_named
from scalecurv.store.compact import compact
from scalecurv.store.inspection import problems_of
from scalecurv.sweeps import execute as execute_module
from scalecurv.sweeps.work import Sweep, find_work
from tests.runs import (
    PRODUCTS,
    carry_out,
    checkpoints_of,
    computed,
    gradient_sweep,
    write_checkpoint,
    write_data,
    write_truncated,
)

Change = Callable[[Path], object]


pytestmark = pytest.mark.usefixtures("measured_at_once")


@pytest.fixture(name="sweep")
def _sweep(tmp_path: Path) -> Sweep:
    """Two runs of three checkpoints that start from the same weights, analysed."""
    data = write_data(tmp_path / "data.npz")
    for i, run in enumerate("ab"):
        write_steps(tmp_path / "runs" / run, [0, 10 * i + 1, 10 * i + 2])
    sweep = replace(gradient_sweep(tmp_path, []), checkpoints=(tmp_path / "runs",))
    sweep = replace(sweep, given={"data": data, "loss": "cross_entropy", "activation": "relu"})
    assert computed(carry_out(sweep)) == ["gradient"] * 6
    compact(sweep.store)
    return sweep


def write_steps(run: Path, seeds: Sequence[int]) -> None:
    run.mkdir(parents=True)
    for step, seed in enumerate(seeds):
        write_checkpoint(run / f"step_{step}.pt", seed=seed)


def rename(old: str, new: str) -> Change:
    return lambda runs: (runs / old).rename(runs / new)


def to_another_disk(old: str, new: str) -> Change:
    """The content arrives, with another inode and another time."""

    def move(runs: Path) -> None:
        if (runs / old).is_dir():
            shutil.copytree(runs / old, runs / new, copy_function=shutil.copyfile)
            shutil.rmtree(runs / old)
        else:
            shutil.copyfile(runs / old, runs / new)
            (runs / old).unlink()

    return move


def copy(old: str, new: str) -> Change:
    return lambda runs: shutil.copytree(runs / old, runs / new, copy_function=shutil.copyfile)


def shown(sweep: Sweep) -> dict[str, int]:
    """The products of each checkpoint that a reader sees, by its path below the runs."""
    rows, runs = checkpoints_of(sweep.store), sweep.store.parent / "runs"
    return {str(Path(path).relative_to(runs)): n for path, n in zip(rows["path"], rows["total_matvecs"], strict=True)}


def steps(*runs: str) -> list[str]:
    return [f"{run}/step_{step}.pt" for run in sorted(runs) for step in range(3)]


def check(sweep: Sweep, paths: Iterable[str], num_computed: int = 0, only: str = "") -> None:
    """The analysis of all runs, or `only` of one, shows exactly these checkpoints, and all products once."""
    here = replace(sweep, checkpoints=(sweep.store.parent / "runs" / only,))
    before = sum(shown(sweep).values())
    assert len(computed(carry_out(here))) == num_computed
    after = shown(sweep)
    assert sorted(after) == sorted(paths)
    assert sum(after.values()) == before + num_computed * PRODUCTS
    again = find_work(here)
    assert (again.todo, bool(again.inventory.changes)) == ((), False)


@pytest.mark.parametrize("move", [rename, to_another_disk], ids=["renamed", "to another disk"])
def test_the_rows_of_a_run_follow_it_in_any_order(sweep: Sweep, move: Callable[[str, str], Change]) -> None:
    runs = sweep.checkpoints[0]
    move("a", "c")(runs)
    check(sweep, steps("b", "c"), only="c")  # the run that it shares its first weights with is not looked at
    move("b", "d")(runs)
    move("c", "e")(runs)
    check(sweep, steps("c", "d"), only="d")
    check(sweep, steps("d", "e"), only="e")
    move("d", "b")(runs)  # back
    move("e", "sub")(runs)
    check(sweep, steps("b", "sub"))
    rows = checkpoints_of(sweep.store)
    assert {Path(run).name for run in rows["run"]} == {"b", "sub"}
    assert list(rows["step"]) == [0, 1, 2] * 2
    fingerprints = [set(group) for _, group in rows.groupby("run", observed=True)["fingerprint"]]
    assert len(fingerprints[0] & fingerprints[1]) == 1
    assert compact(sweep.store) is not None
    assert problems_of(sweep.store / "store.h5") == []
    check(sweep, steps("b", "sub"))


def test_names_that_change_places(sweep: Sweep) -> None:
    """No path is missing, yet every file is known."""
    runs = sweep.checkpoints[0]
    before = checkpoints_of(sweep.store)
    for change in (rename("a", "x"), rename("b", "a"), rename("x", "b")):
        change(runs)
    check(sweep, steps("a", "b"))
    after = checkpoints_of(sweep.store)
    assert list(after["fingerprint"]) == [*before["fingerprint"][3:], *before["fingerprint"][:3]]
    rename("a", "z")(runs)
    rename("b", "a")(runs)
    check(sweep, steps("a", "z"))


def test_many_files_take_one_part(sweep: Sweep) -> None:
    rename("a", "c")(sweep.checkpoints[0])
    parts = set((sweep.store / "parts").iterdir())
    work = find_work(sweep)
    assert work.notes == ("3 file(s) were renamed since they were analysed; their rows take the new paths",)
    carry_out(sweep)
    (part,) = set((sweep.store / "parts").iterdir()) - parts
    assert problems_of(part) == []


def test_copies_are_rows_of_their_own(sweep: Sweep) -> None:
    copy("a", "c")(sweep.checkpoints[0])
    check(sweep, steps("a", "b", "c"))
    shutil.rmtree(sweep.checkpoints[0] / "a")
    check(sweep, steps("a", "b", "c"))  # deleted, not renamed: its rows stay
    (sweep.checkpoints[0] / "hard").mkdir()
    os.link(sweep.checkpoints[0] / "b" / "step_1.pt", sweep.checkpoints[0] / "hard" / "step_1.pt")
    check(sweep, [*steps("a", "b", "c"), "hard/step_1.pt"])
    (sweep.checkpoints[0] / "hard" / "step_1.pt").unlink()
    os.utime(sweep.checkpoints[0] / "b" / "step_1.pt", (1, 1))  # it is read again, and was not renamed
    check(sweep, [*steps("a", "b", "c"), "hard/step_1.pt"])


def test_a_run_that_was_renamed_and_then_copied(sweep: Sweep) -> None:
    for change in (rename("a", "c"), copy("c", "d")):
        change(sweep.checkpoints[0])
    check(sweep, steps("b", "c", "d"))


def test_a_new_run_takes_nothing_from_a_deleted_one_that_began_alike(sweep: Sweep) -> None:
    runs = sweep.checkpoints[0]
    (runs / "b" / "step_0.pt").unlink()
    write_steps(runs / "c", [0, 21, 22])
    check(sweep, steps("a", "b", "c"), num_computed=2)
    shutil.rmtree(runs / "a")
    write_steps(runs / "d", [0, 31, 32])
    check(sweep, steps("a", "b", "c", "d"), num_computed=2)


def test_a_path_that_comes_back_shows_again(sweep: Sweep) -> None:
    runs = sweep.checkpoints[0]
    rename("a", "c")(runs)
    check(sweep, steps("b", "c"))
    write_steps(runs / "a", [41, 42, 2])  # new files of the old names
    check(sweep, steps("a", "b", "c"), num_computed=2)
    copy("c", "kept")(runs)
    shutil.rmtree(runs / "a")
    check(sweep, steps("a", "b", "c", "kept"))


def test_a_file_written_over_another(sweep: Sweep) -> None:
    os.replace(sweep.checkpoints[0] / "a" / "step_1.pt", sweep.checkpoints[0] / "b" / "step_1.pt")
    paths = [path for path in steps("a", "b") if path != "a/step_1.pt"]
    assert computed(carry_out(sweep)) == []
    assert sorted(shown(sweep)) == paths


def test_aliases_and_broken_files_go_along(sweep: Sweep) -> None:
    run = sweep.checkpoints[0] / "a"
    shutil.copyfile(run / "step_2.pt", run / "last.pt")
    write_truncated(run / "step_9.pt")
    paths = [*steps("a", "b"), "a/step_9.pt"]
    for name in "acde":
        move = rename if name < "e" else to_another_disk
        if name != "a":
            move(run.name, name)(sweep.checkpoints[0])
            run = run.with_name(name)
        carry_out(sweep)
        assert sorted(shown(sweep)) == sorted(path.replace("a/", f"{name}/") for path in paths)
        assert find_work(sweep).todo == (str(run / "step_9.pt"),)


def test_a_move_with_a_new_measure(sweep: Sweep) -> None:
    more = replace(sweep, request=Request(measures_named(("gradient", "moments"), max_matvecs=100)))
    for change in (rename("a", "c"), to_another_disk("b", "d")):
        change(sweep.checkpoints[0])
    assert computed(carry_out(more)) == ["moments"] * 6
    assert sorted(shown(sweep)) == steps("c", "d")


def test_a_store_that_cannot_be_written_stays_as_it_was(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    rename("a", "c")(sweep.checkpoints[0])
    before = checkpoints_of(sweep.store)

    def full(*args: object) -> None:
        raise StoreError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(execute_module, "write_labels", full)
        with pytest.raises(StoreError):
            carry_out(sweep)
    assert checkpoints_of(sweep.store).equals(before)
    check(sweep, steps("b", "c"))


def test_a_sweep_that_is_stopped_among_renamed_files_leaves_no_ghost(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_another_disk("a", "c")(sweep.checkpoints[0])
    whole = execute_module.run

    def stopped(*args: Any) -> Iterator[Any]:
        yield from islice(whole(*args), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(execute_module, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            carry_out(sweep)
    check(sweep, steps("b", "c"))
