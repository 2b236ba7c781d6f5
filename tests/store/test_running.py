"""The file of a running sweep: written whole, told from a dead one, and no part of the store."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scalecurv.record import Stage
from scalecurv.store.compact import compact
from scalecurv.store.forget import forget
from scalecurv.store.reader import check_store, read_store
from scalecurv.store.running import (
    LAG,
    OLD,
    SILENCE,
    Life,
    RunningFile,
    remove_ended,
    running_sweeps,
)
from scalecurv.store.verify import verify
from tests.watch.stores import NOW, a_sweep, exact, store_checkpoint

NAN = float("nan")
STAGE = Stage("/runs/a/step_\udce9.pt", "node:7", 3.0, 240, "moments", 2.0, 200, 1000)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store_checkpoint(tmp_path / "store", 0, {"loss": exact(1.0)})
    return tmp_path / "store"


@pytest.fixture
def dead() -> int:
    """Return the number of a process that ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_written_is_read(store: Path) -> None:
    running = a_sweep(STAGE)
    file, other = RunningFile(store), RunningFile(store)
    file.write(a_sweep())
    file.write(running)
    assert running_sweeps(store) == [running]
    later = replace(a_sweep(), written=NOW + 5)
    other.write(later)
    assert running_sweeps(store) == [later, running]
    file.remove()
    other.remove()
    assert [path.name for path in store.iterdir()] == ["parts"]


def test_a_store_does_not_see_it(store: Path) -> None:
    before = read_store(store).stored
    RunningFile(store).write(a_sweep(STAGE))
    assert read_store(store).stored == before
    assert read_store(store).broken == {}
    assert [verdict.path.parent.name for verdict in verify(store)] == ["parts"]
    assert compact(store) is not None
    assert len(forget(store, run="/runs/a").checkpoints) == 1
    assert len(running_sweeps(store)) == 1
    check_store(store)


def test_a_folder_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    RunningFile(tmp_path).write(a_sweep())
    RunningFile(tmp_path / "none").write(a_sweep())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_not_felt(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RunningFile(store)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    file.write(a_sweep())
    file.remove()
    assert [path.name for path in store.iterdir()] == ["parts"]


def test_life_and_death(dead: int) -> None:
    here = a_sweep()
    assert here.life(NOW + SILENCE) is Life.RUNS
    assert here.life(NOW + SILENCE + 1) is Life.SILENT  # stopped, or another process of that number
    assert replace(here, pid=dead).life(NOW) is Life.ENDED
    assert replace(here, pid=1).life(NOW) is Life.RUNS  # there, and another user's
    far = replace(here, host=f"not-{socket.gethostname()}", pid=dead)
    assert far.life(NOW + LAG) is Life.RUNS
    assert far.life(NOW + LAG + 1) is Life.SILENT


def test_the_next_sweep_removes_what_killed_ones_left(store: Path, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.store.running.time.time", lambda: NOW + OLD)
    alive, killed, far = a_sweep(), replace(a_sweep(), pid=dead), replace(a_sweep(), host="far")
    for running in (alive, killed, far, replace(far, written=NOW - 1)):
        RunningFile(store).write(running)
    remove_ended(store)
    assert sorted(running.host for running in running_sweeps(store)) == sorted(["far", alive.host])
    assert dead not in {running.pid for running in running_sweeps(store)}


def test_what_cannot_be_read_is_passed_over(store: Path) -> None:
    whole = a_sweep(STAGE)
    RunningFile(store).write(whole)
    newer = json.loads(next(store.glob("running-*.json")).read_text())
    newer |= {"a field of later": 1, "stages": [{**newer["stages"][0], "another": 2}]}
    wrong = ["{", "[]", "3", '{"stages": 1}', '{"stages": [{"no": 1}]}', "\xff", "[" * 100_000]
    odd = [("pid", "x"), ("pid", 1e30), ("pid", None), ("written", "x"), ("written", NAN), ("total", 1.5), ("host", 5)]
    wrong += [json.dumps({**newer, name: value}) for name, value in odd]
    wrong += [json.dumps({**newer, "stages": [{"path": "a", "seconds": value}]}) for value in ("x", NAN, 1e300)]
    os.mkfifo(store / "running-pipe.json")
    for i, text in enumerate([json.dumps(newer), *wrong]):
        (store / f"running-{i}.json").write_text(text)
    assert running_sweeps(store) == [whole, whole]
    remove_ended(store)


def test_the_time_that_is_left() -> None:
    """A checkpoint takes 10 s; four are left, and one or two of them are under way."""
    running = replace(a_sweep(STAGE), total=10, done=6, seconds=60.0, stored_seconds=60.0)
    assert running.left == 40.0
    assert replace(running, seconds=63.0).left == 37.0
    assert replace(running, seconds=80.0).left == 30.0  # the one under way is late, and three wait
    assert replace(running, seconds=80.0, stages=(STAGE, STAGE)).left == 20.0
    assert replace(running, done=0).left is None
    assert replace(running, done=10).left is None
    assert replace(running, done=9, seconds=300.0).left is None  # longer than those before: nobody knows
