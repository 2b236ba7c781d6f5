"""The log of `analyze`: lines with times in a pipe, more with -v, errors alone with -q; the library only logs."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from scalecurv.record import Outcome, Record
from scalecurv.sweeps import progress
from scalecurv.sweeps.progress import Progress
from tests.commands import CHEAP, STAMP, STORED, analyze, invoke, untimed_lines
from tests.runs import carry_out, gradient_sweep, write_run, write_truncated


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", range(2))


def test_a_pipe_gets_a_line_with_times_for_each_checkpoint(run: Path, tmp_path: Path) -> None:
    lines = analyze(run, tmp_path / "store").stderr.splitlines()
    assert all(STORED.fullmatch(line) for line in lines)
    assert [line.endswith(" left") for line in lines] == [True, False]
    assert untimed_lines("\n".join(lines)) == [f"{i + 1}/2 ok {run}/step_{i}.pt" for i in range(2)]


def test_more_is_told_on_demand(run: Path, tmp_path: Path) -> None:
    """-v: engine and threads with their reasons, and the seconds of each measure; -q takes it back."""
    lines = analyze(run, tmp_path / "store", "--measure", "gradient,moments", "-v").stderr.splitlines()
    assert re.fullmatch(STAMP + "engine serial: --engine serial", lines[0])
    assert re.fullmatch(STAMP + r"threads \d+: .+", lines[1])
    for i, line in enumerate(lines[3::2]):
        path = re.escape(f"{run}/step_{i}.pt")
        assert re.fullmatch(STAMP + path + r": gradient \d+\.\d\d s, moments \d+\.\d\d s", line)
    assert len(lines) == 6
    assert len(analyze(run, tmp_path / "other", "-v", "-q").stderr.splitlines()) == 2


def test_a_terminal_obeys_no_name(run: Path, tmp_path: Path) -> None:
    """Neither in the log nor in an error."""
    (run / "step_1.pt").rename(run / "step_1\x1b[2J\u202e.pt")
    assert r"2/2 ok " + f"{run}/" + r"step_1\x1b[2J\u202e.pt" in analyze(run, tmp_path / "store").stderr
    told = invoke("analyze", str(run), str(tmp_path / "other"), "--include", "\x1b[2J", *CHEAP)
    assert told.stderr.startswith(r"scalecurv: --include '\x1b[2J' leaves none of 2 checkpoint(s)")


def test_quiet_leaves_errors(run: Path, tmp_path: Path) -> None:
    few = ("--measure", "moments", "--route", "generic", "--max-matvecs", 24, "--rtol", 0.001)
    quiet = analyze(run, tmp_path / "store", "-q", *few)
    assert (quiet.exit_code, quiet.output) == (0, "")
    assert (again := analyze(run, tmp_path / "store", "-q", *few)).output == ""
    assert again.exit_code == 0
    bad = write_truncated(run / "step_9.pt")
    failing = analyze(run, tmp_path / "store", "--quiet")
    assert (failing.exit_code, failing.stdout) == (1, "")
    assert failing.stderr.startswith(f"failed: {bad} is no readable checkpoint")
    misuse = analyze(run, tmp_path / "store", "-q", "--loss", "hinge")
    assert misuse.stderr.startswith("scalecurv: unknown loss 'hinge'")


def test_one_worker_means_serial_and_that_is_said(run: Path, tmp_path: Path) -> None:
    assert "engine" not in analyze(run, tmp_path / "store", "--workers", 1).stderr  # --engine serial is given
    result = invoke("analyze", run, tmp_path / "other", *CHEAP, "--workers", 1)
    assert re.fullmatch(STAMP + "engine serial: --workers 1", result.stderr.splitlines()[0])


def test_the_library_logs_and_configures_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    package = logging.getLogger("scalecurv")
    analyze(tmp_path, tmp_path / "store")  # the command has come and gone
    before = (list(package.handlers), package.level, package.propagate)
    assert before == ([], logging.NOTSET, True)
    carry_out(gradient_sweep(tmp_path / "silent", range(1)))
    with caplog.at_level(logging.INFO, "scalecurv"):
        carry_out(gradient_sweep(tmp_path / "told", range(1)))
    assert [record.getMessage().split(" ")[:2] for record in caplog.records] == [["1/1", "ok"]]
    assert (list(package.handlers), package.propagate) == ([], True)
    captured = capfd.readouterr()
    assert captured.err == ""


def test_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Checkpoints come after 10, 20, 60 and 100 s; the second one is a failure that took no time to tell."""
    times = iter([0.0, 10.0, 20.0, 60.0, 100.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    caplog.set_level(logging.DEBUG, "scalecurv")
    told = Progress(4)
    record = Record("key", "gradient weight$", {}, seconds=1.25)
    told.log(Outcome("a.pt", "ok", seconds=9.5, records=(record,)))
    told.log(Outcome("b.pt", "failed"))
    told.log(Outcome("c.pt", "ok", seconds=40.0))
    told.log(Outcome("d.pt", "ok", seconds=40.0))
    assert [record.getMessage() for record in caplog.records] == [
        "1/4 ok a.pt 9.50 s, 0:00:30 left",
        "a.pt: gradient weight$ 1.25 s",
        "2/4 failed b.pt 0.00 s, 0:00:20 left",
        "3/4 ok c.pt 40.00 s, 0:00:20 left",
        "4/4 ok d.pt 40.00 s",
    ]
