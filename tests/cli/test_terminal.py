"""Bars on a terminal, and a cluster that is not there: in processes of their own, as Ray reads its settings once."""

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import CHEAP, HANG, SERIAL, environment, start_scalecurv, untimed_lines
from tests.runs import write_run, write_truncated


def on_terminal(words: Sequence[object], home: Path, **more: str) -> tuple[int, str]:
    """Exit code and what a terminal shows, of the installed command."""
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("scalecurv"), *words]
    env = environment(home, **{"TERM": "xterm", "COLUMNS": "200", **more})
    process = subprocess.Popen([str(w) for w in command], env=env, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_bars_and_then_what_failed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=[0])
    bad = write_truncated(run / "step_1.pt")
    code, shown = on_terminal(["analyze", run, tmp_path / "store", *CHEAP, *SERIAL], tmp_path / "home")
    assert code == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    frames = re.findall(r"checkpoints +[━╺╸]+ (\d/2)", plain)
    assert list(dict.fromkeys(frames)) == ["0/2", "1/2", "2/2"]
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor is back
    last, stored, failed, *rest = plain.rsplit("checkpoints ", 1)[1].split("\n")
    assert "2/2, 1 failed" in last
    assert stored.startswith(f"1 of 2 checkpoint(s) stored in {tmp_path}/store, ")
    assert failed.startswith(f"failed: {bad} is no readable checkpoint")
    assert rest == [""]
    assert " ok " not in shown


def test_a_terminal_without_a_cursor_gets_lines(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=[0])
    code, shown = on_terminal(["analyze", run, tmp_path / "store", *CHEAP, *SERIAL], tmp_path / "home", TERM="dumb")
    assert code == 0
    assert untimed_lines(shown)[0] == f"1/1 ok {run}/step_0.pt"
    assert "\x1b" not in shown


def test_a_terminal_gets_no_binary(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    code, shown = on_terminal(
        ["query", tmp_path / "store", "select step from results", "--format", "parquet"], tmp_path / "home"
    )
    advice = "send it to a file: scalecurv query ... --format parquet > results.parquet"
    assert (code, shown) == (2, f"scalecurv: parquet is binary; {advice}\n")


@pytest.mark.ray
def test_an_address_where_nothing_answers_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    run = write_run(tmp_path / "run", steps=[0, 1])
    process = start_scalecurv("analyze", run, tmp_path / "store", "--address", address, home=tmp_path / "home")
    stdout, stderr = process.communicate(timeout=HANG)
    assert (process.returncode, stdout) == (2, "")
    assert stderr == (
        f"scalecurv: no Ray cluster answers at {address} ([Errno 111] Connection refused); start one with "
        f"`RAY_AUTH_MODE=token ray start --head`, or leave --address out\n"
    )
    assert list((tmp_path / "store").rglob("*.h5")) == []


def test_submit_where_nothing_answers_is_misuse(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    process = start_scalecurv("submit", "run", "store", "--address", address, home=tmp_path / "home")
    stdout, stderr = process.communicate(timeout=HANG)
    assert (process.returncode, stdout) == (2, "")
    assert stderr == (
        f"scalecurv: no Ray job server takes jobs at {address} ([Errno 111] Connection refused); start one with "
        f"`RAY_AUTH_MODE=token ray start --head`, or give --address\n"
    )
