"""Killed with -9, then stopped with Ctrl-C, the same command goes on from what was stored until all is there."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import (
    HANG,
    end_processes_of,
    invoke,
    processes_of,
    read_until,
    start_scalecurv,
    untimed_lines,
    wait_for,
)
from tests.runs import assert_same_store, checkpoints_of, stored_rows, write_run

pytestmark = pytest.mark.fault

COUNT = 24  # enough that some are left whenever a signal comes
OPTIONS = ("--threads", "1", "--workers", "1", "--max-matvecs", "200", "--measure", "gradient,moments,spectrum")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("interrupted") / "run", steps=range(COUNT))


@pytest.fixture(scope="module")
def undisturbed(run: Path) -> Path:
    store = run.parent / "store"
    assert invoke("analyze", run, store, "--engine", "serial", *OPTIONS).exit_code == 0
    return store


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    end_processes_of(tmp_path / "home")


def reported_by(process: "subprocess.Popen[str]", last: str) -> set[str]:
    """The paths that it has reported when it says `last`."""
    return {line.split(" ", 2)[2] for line in read_until(process, last)}


def parts_of(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (store / "parts").glob("*.h5")}


@pytest.mark.parametrize("engine", ["serial", pytest.param("ray", marks=pytest.mark.ray)])
def test_nothing_reported_is_lost_nothing_stored_is_redone(
    home: Path, run: Path, undisturbed: Path, tmp_path: Path, engine: str
) -> None:
    store = tmp_path / "store"
    command = ("analyze", run, store, "--engine", engine, *OPTIONS)

    killed = start_scalecurv(*command, home=home)
    reported = reported_by(killed, f"3/{COUNT} ok ")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert wait_for(lambda: not processes_of(home))
    stored, parts = set(checkpoints_of(store)["path"]), parts_of(store)
    assert (len(reported), len(parts)) == (3, len(stored))
    assert reported <= stored
    todo = COUNT - len(stored)
    assert todo > 0

    interrupted = start_scalecurv(*command, home=home)
    reported = reported_by(interrupted, f"2/{todo} ok ")
    began = time.perf_counter()
    os.killpg(interrupted.pid, signal.SIGINT)  # to the whole group, as from a terminal
    stdout, stderr = interrupted.communicate(timeout=HANG)
    print(f"{engine}: ended {time.perf_counter() - began:.2f} s after Ctrl-C")
    assert (interrupted.returncode, stdout) == (130, "")
    late = untimed_lines(stderr)
    reported |= {line.split(" ", 2)[2] for line in late[:-1]}
    said = "scalecurv: interrupted; what was finished is stored, and the same command goes on from there"
    assert late[-1] == said
    assert wait_for(lambda: not processes_of(home))
    assert not reported & stored
    stored |= reported
    assert stored <= set(checkpoints_of(store)["path"])
    stored = set(checkpoints_of(store)["path"])
    todo = COUNT - len(stored)
    assert todo > 0

    finished = invoke("analyze", run, store, "--engine", "serial", *OPTIONS)
    assert finished.exit_code == 0
    rest = [line.split(" ", 2) for line in untimed_lines(finished.stderr)[:todo]]
    assert [words[:2] for words in rest] == [[f"{i + 1}/{todo}", "ok"] for i in range(todo)]
    assert stored.isdisjoint(path for _, _, path in rest)
    assert f" {todo + 1}/" not in finished.stderr
    assert parts.items() <= parts_of(store).items()
    assert len(parts_of(store)) == COUNT
    assert not stored_rows(store).duplicated(["key", "quantity", "component"]).any()
    assert not stored_rows(store, "arrays").duplicated(["key", "name"]).any()
    assert_same_store(store, undisturbed)
