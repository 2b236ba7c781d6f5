"""Steps, runs and attributes of stored checkpoints follow patterns, names and run.json; no work is done for it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.store.frames import plain
from scalecurv.store.reader import read_store
from scalecurv.sweeps.follow import POLL, work_as_it_comes
from scalecurv.sweeps.work import Sweep, find_work
from tests.runs import PRODUCTS, carry_out, checkpoints_of, computed, gradient_sweep, write_checkpoint, write_run

pytestmark = pytest.mark.usefixtures("measured_at_once")
ADVICE = r"give --step-pattern REGEX with (?P<step>\d+)"
Times = list[tuple[int | None, float | None]]


def sweep_over(folder: Path, names: dict[str, dict[str, Any]]) -> Sweep:
    """Checkpoints of these names below folder/runs, with what each holds besides its weights."""
    run = write_run(folder / "runs", [])
    for seed, (name, content) in enumerate(names.items()):
        (run / name).parent.mkdir(exist_ok=True, parents=True)
        write_checkpoint(run / name, seed=seed, **content)
    return replace(gradient_sweep(folder, []), checkpoints=(run,))


def times(sweep: Sweep) -> Times:
    """(step, epoch) of all checkpoints in the order of their paths."""
    rows = checkpoints_of(sweep.store)
    return [
        (None if step < 0 else step, None if pd.isna(epoch) else epoch)
        for step, epoch in zip(rows["step"], rows["epoch"], strict=True)
    ]


def runs(sweep: Sweep) -> list[str]:
    """The runs of all checkpoints in the order of their paths, below the directory that was given."""
    return [str(Path(run).relative_to(sweep.checkpoints[0])) for run in checkpoints_of(sweep.store)["run"]]


def attributes(sweep: Sweep) -> dict[str, dict[str, Any]]:
    rows = plain(read_store(sweep.store).tables["runs"])
    return {Path(row.run).name: json.loads(row.attributes) for row in rows.itertuples()}


def settle(sweep: Sweep, num_computed: int = 0) -> None:
    """Carry it out; a second time there is nothing to do."""
    assert len(computed(carry_out(sweep))) == num_computed
    if not sweep.rehash:
        again = find_work(sweep)
        assert (again.todo, bool(again.inventory.changes)) == ((), False)


def test_a_changed_pattern_labels_what_is_stored_anew(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"x5y.pt": {}, "x6y.pt": {"step": 60}})
    settle(sweep, 2)
    assert times(sweep) == [(None, None), (60, None)]
    expected: list[tuple[str | None, Times]] = [
        (r"x(\d)y", [(5, None), (6, None)]),  # it precedes the content of a file
        (None, [(5, None), (6, None)]),  # what is stored stays
        (r"x(?P<epoch>\d)y", [(5, 5), (6, 6)]),
        (r"x(?P<step>\d)y(?P<epoch>z)?", [(5, 5), (6, 6)]),  # a group that takes no part says nothing
        (r"(?P<step>5)y", [(5, 5), (6, 6)]),
    ]
    for pattern, said in expected:
        settle(replace(sweep, step_pattern=pattern))
        assert times(sweep) == said, pattern
    settle(replace(sweep, rehash=True))  # the files say what they hold
    assert times(sweep) == [(None, None), (60, None)]
    settle(replace(sweep, step_pattern=r"x(\d)"))
    moved = tmp_path / "other disk"
    shutil.copytree(sweep.checkpoints[0], moved, copy_function=shutil.copyfile)
    shutil.rmtree(sweep.checkpoints[0])
    sweep = replace(sweep, checkpoints=(moved,))
    settle(replace(sweep, rehash=True))
    assert times(sweep) == [(None, None), (60, None)]
    assert list(checkpoints_of(sweep.store)["total_matvecs"]) == [PRODUCTS] * 2


def test_labels_of_a_pattern_stay_when_more_is_computed(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"x5y.pt": {}, "x6y.pt": {}})
    settle(replace(sweep, step_pattern=r"x(\d)"), 2)
    (sweep.checkpoints[0] / "x5y.pt").touch()
    settle(replace(sweep, request=replace(sweep.request, seed=1)), 2)
    assert times(sweep) == [(5, None)] * 2 + [(6, None)] * 2


def test_a_file_that_is_gone_is_labelled_by_its_path(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"x5y.pt": {}, "x6y.pt": {}})
    settle(sweep, 2)
    (sweep.checkpoints[0] / "x5y.pt").unlink()
    settle(replace(sweep, step_pattern=r"x(\d)"))
    assert times(sweep) == [(5, None), (6, None)]


def test_a_name_that_is_understood_by_now_labels_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_over(tmp_path, {"it5.pt": {}, "it6.pt": {"epoch": 3}, "it7.pt": {"step": 70}})
    with monkeypatch.context() as earlier:
        earlier.setattr("scalecurv.checkpoints.step._from_name", lambda stem: (None, None))
        settle(sweep, 3)
        assert times(sweep) == [(None, None), (None, 3), (70, None)]
    settle(sweep)
    assert times(sweep) == [(5, None), (6, 3), (70, None)]


def test_a_renamed_file_takes_the_step_of_its_name(tmp_path: Path) -> None:
    """The content of a file says more than its name, and a name more than a former one."""
    sweep = sweep_over(tmp_path, {"step_1.pt": {}, "step_2.pt": {"step": 2}, "step_3.pt": {"epoch": 1}})
    run = sweep.checkpoints[0]
    settle(sweep, 3)
    for step in (1, 2, 3):
        (run / f"step_{step}.pt").rename(run / f"it{10 * step}.pt")
    settle(sweep)
    assert times(sweep) == [(10, None), (2, None), (30, 1)]
    assert {Path(path).name for path in checkpoints_of(sweep.store)["path"]} == {"it10.pt", "it20.pt", "it30.pt"}
    (run / "it10.pt").rename(run / "weights.pt")  # a name that says nothing takes nothing away
    settle(sweep)
    assert times(sweep) == [(2, None), (30, 1), (10, None)]


def test_a_run_by_pattern_goes_along_with_its_files(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {f"flat/lr{lr}_it{step}.pt": {} for lr in (0.1, 0.2) for step in (1, 2)})
    settle(sweep, 4)
    assert runs(sweep) == ["flat"] * 4
    by_lr = replace(sweep, step_pattern=r"(?P<run>flat/lr[\d.]+)_it(?P<step>\d+)", run_attributes={"lr": r"lr([\d.]+)"})
    settle(by_lr)
    assert runs(sweep) == ["flat/lr0.1"] * 2 + ["flat/lr0.2"] * 2
    assert attributes(sweep) == {"lr0.1": {"lr": 0.1}, "lr0.2": {"lr": 0.2}}
    (sweep.checkpoints[0] / "flat").rename(sweep.checkpoints[0] / "moved")
    settle(sweep)  # without the pattern
    assert runs(sweep) == ["moved/lr0.1"] * 2 + ["moved/lr0.2"] * 2
    assert times(sweep) == [(1, None), (2, None)] * 2
    rows = plain(read_store(sweep.store).tables["runs"])
    assert {run: json.loads(said)["lr"] for run, said in zip(rows["run"], rows["attributes"], strict=True)} == {
        f"{sweep.checkpoints[0]}/{folder}/lr{lr}": lr for folder in ("flat", "moved") for lr in (0.1, 0.2)
    }


def test_a_run_by_pattern_stays_where_a_folder_in_it_is_renamed(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"a/x/it1.pt": {}, "a/x/it2.pt": {}})
    settle(replace(sweep, step_pattern=r"(?P<run>\w)/x/it(?P<step>\d)"), 2)
    (sweep.checkpoints[0] / "a" / "x").rename(sweep.checkpoints[0] / "a" / "y")
    settle(sweep)
    assert runs(sweep) == ["a", "a"]


def test_attributes_come_from_options_then_files_then_the_store(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"lr0.1/step_1.pt": {}, "lr0.2/step_1.pt": {}})
    settle(sweep, 2)
    assert attributes(sweep) == {}
    file = sweep.checkpoints[0] / "lr0.1" / "run.json"
    for patterns, written, said in [
        ({"lr": r"lr(\S+)"}, None, {"lr0.1": {"lr": 0.1}, "lr0.2": {"lr": 0.2}}),
        ({}, {"lr": 5, "width": 64}, {"lr0.1": {"lr": 5, "width": 64}, "lr0.2": {"lr": 0.2}}),
        ({"LR": r"lr(\S+)"}, {"lr": 5, "width": 64}, {"lr0.1": {"width": 64, "LR": 0.1}, "lr0.2": {"LR": 0.2}}),
        ({}, {"lr": True}, {"lr0.1": {"width": 64, "lr": True}, "lr0.2": {"LR": 0.2}}),
        ({}, {"lr": 1}, {"lr0.1": {"width": 64, "lr": 1}, "lr0.2": {"LR": 0.2}}),
        ({}, {"width": "\ud800\0"}, {"lr0.1": {"width": r"\ud800\0", "lr": 1}, "lr0.2": {"LR": 0.2}}),
        ({}, {"width": None}, {"lr0.1": {"lr": 1}, "lr0.2": {"LR": 0.2}}),
    ]:
        if written is not None:
            file.write_text(json.dumps(written))
        settle(replace(sweep, run_attributes=patterns))
        assert attributes(sweep) == said
    (sweep.checkpoints[0] / "lr0.1").rename(sweep.checkpoints[0] / "c")
    settle(sweep)
    assert attributes(sweep)["c"] == {"lr": 1}


def test_attributes_go_along_with_runs_of_equal_weights(tmp_path: Path) -> None:
    """Their files have one content, and the paths tell which is which."""
    sweep = sweep_over(tmp_path, {f"{run}/model.pt": {} for run in "abc"})
    for run in "abc":
        write_checkpoint(sweep.checkpoints[0] / run / "model.pt")
        (sweep.checkpoints[0] / run / "run.json").write_text(json.dumps({"name": run}))
    settle(sweep, 3)
    shutil.copytree(sweep.checkpoints[0], tmp_path / "z", copy_function=shutil.copyfile)
    shutil.rmtree(sweep.checkpoints[0])
    for file in (tmp_path / "z").rglob("run.json"):
        file.unlink()
    given = {"data": tmp_path / "z" / "data.npz", "loss": "cross_entropy", "activation": "relu"}
    for run in "cba":
        settle(replace(sweep, checkpoints=(tmp_path / "z" / run,), given=given))
    rows = plain(read_store(sweep.store).tables["runs"]).set_index("run")["attributes"]
    assert [json.loads(rows[str(tmp_path / "z" / run)]) for run in "abc"] == [{"name": run} for run in "abc"]


def test_names_without_a_step_are_told_before_the_work(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, dict[str, Any]], str]] = [
        ({f"w{x}.pt": {} for x in "abcd"}, f"no step found in 4 of 4 names: wa.pt, wb.pt, wc.pt, ...; {ADVICE}"),
        ({name: {} for name in ("wa.pt", "it1.pt", "last.pt")}, f"no step found in 1 of 2 names: wa.pt; {ADVICE}"),
        ({f"w{x}.pt": {"step": 4} for x in "abcd"}, ""),  # the files hold it
        ({"a/model.pt": {}, "b/model.pt": {}}, ""),  # one checkpoint a run
        ({"epoch_1.pt": {}, "epoch_2.pt": {}}, ""),
    ]
    for i, (names, note) in enumerate(cases):
        sweep = sweep_over(tmp_path / str(i), names)
        assert find_work(sweep).notes == ((note,) if note else ())
        carry_out(sweep)
        assert find_work(sweep).notes == ((note,) if note else ())


def test_a_pattern_that_finds_nothing_is_misuse_and_one_that_finds_some_is_a_note(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"it5.pt": {}, "it6.pt": {}, "last.pt": {}})
    with pytest.raises(Misuse) as caught:
        find_work(replace(sweep, step_pattern=r"step(\d)"))
    assert str(caught.value) == (
        r"--step-pattern 'step(\d)' is found in none of 2 names, such as it5.pt; it is searched in the path below "
        "the directory that was given"
    )
    notes = find_work(replace(sweep, step_pattern=r"it(5)")).notes
    assert notes == ("--step-pattern 'it(5)' is found in all but 1 of 2 names: it6.pt",)
    looks = [
        work.notes for work in work_as_it_comes(replace(sweep, step_pattern="step(5)"), POLL, lambda seconds: None)
    ]
    assert looks == [("--step-pattern 'step(5)' is found in all but 2 of 2 names: it5.pt, it6.pt",)]


def test_follow_says_a_note_once(tmp_path: Path) -> None:
    sweep = sweep_over(tmp_path, {"wa.pt": {}, "wb.pt": {}})
    names = iter("cdef")

    def sleep(seconds: float) -> None:
        if name := next(names, ""):
            write_checkpoint(sweep.checkpoints[0] / f"w{name}.pt", seed=ord(name))

    assert [bool(work.notes) for work in work_as_it_comes(sweep, 3 * POLL, sleep)] == [True, *[False] * 4]
