"""The entry point for `ray job submit` runs `scalecurv analyze`, with its exit codes."""

import atexit
import os
import runpy
import sys
from pathlib import Path

import pytest

from scalecurv.results.query import open_store
from tests.commands import CHEAP, ROOT, SERIAL
from tests.runs import write_run, write_truncated


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["analyze.py", *map(str, arguments)])
    monkeypatch.setattr(os, "_exit", sys.exit)  # it would end the tests
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "jobs" / "analyze.py"))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_it_is_analyze_by_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, store = write_run(tmp_path / "run"), tmp_path / "store"
    assert call(monkeypatch, run, store, *CHEAP, *SERIAL) == 0
    assert capsys.readouterr().out.startswith(f"3 of 3 checkpoint(s) stored in {store}, ")
    assert list(open_store(store).results()["step"]) == [0, 1, 2]
    assert set(open_store(store).estimates()["measure"]) == {"gradient"}
    write_truncated(run / "step_9.pt")
    assert call(monkeypatch, run, store, *CHEAP, *SERIAL) == 1


def test_relative_paths_are_refused_inside_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert call(monkeypatch, write_run(tmp_path / "run"), "store") == 2
    assert capsys.readouterr().err == (
        "scalecurv: store is relative, and a job runs in a folder of Ray's own; give absolute paths\n"
    )
