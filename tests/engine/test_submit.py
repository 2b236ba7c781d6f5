"""`scalecurv submit` and `ray job submit` at a real head under token authentication, started once."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scalecurv.engine.session import LOOPBACK_ONLY
from tests.commands import CHEAP, HANG, ROOT, end_processes_of, environment, processes_of, start, wait_for
from tests.runs import checkpoints_of, write_run, write_truncated

pytestmark = pytest.mark.ray

RAY = Path(sys.executable).with_name("ray")


@dataclass(frozen=True)
class Head:
    home: Path  # with the token
    address: str

    def submit(self, *words: object, cwd: Path, home: Path | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "scalecurv", "submit", *words, "--address", self.address, *CHEAP]
        return finished(command, environment(home or self.home), cwd)


def finished(words: Sequence[object], env: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(w) for w in words], env=env, cwd=cwd, capture_output=True, text=True, timeout=HANG)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    home = tmp_path_factory.mktemp("head")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    (home / ".ray" / "auth_token").chmod(0o600)
    temporary = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: sockets below it have names of 107 bytes
    port, dashboard, agent = free_ports(3)
    words = ["--head", "--block", "--num-cpus", 1, "--temp-dir", temporary]
    ports = ["--port", port, "--dashboard-port", dashboard, "--dashboard-agent-listen-port", agent]
    quiet = ["--disable-usage-stats", "--dashboard-host", "127.0.0.1"]
    process = start([RAY, "start", *words, *ports, *quiet], home, RAY_AUTH_MODE="token", **{LOOPBACK_ONLY: "0"})
    try:
        assert process.stdout is not None
        assert any("Ray runtime started." in line for line in process.stdout)
        yield Head(home, f"http://127.0.0.1:{dashboard}")
    finally:
        process.terminate()
        process.communicate(timeout=HANG)
        if not wait_for(lambda: not processes_of(home), 10):
            end_processes_of(home)
        shutil.rmtree(temporary)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("submitted") / "run")


def test_without_the_token_nobody_gets_in(head: Head, run: Path, tmp_path: Path) -> None:
    done = head.submit(run, tmp_path / "store", cwd=tmp_path, home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"scalecurv: no Ray job server takes jobs at {head.address} (Authentication required: Unauthorized: Missing "
        f"authentication token); start one with `RAY_AUTH_MODE=token ray start --head`, or give --address\n"
    )


def test_a_job_with_one_failure_then_one_that_finds_all_done(head: Head, run: Path) -> None:
    folder, bad = run.parent, write_truncated(run / "step_9.pt")
    failing = head.submit("run", "store", "--engine", "ray", "--workers", 1, cwd=folder)
    assert failing.returncode == 1
    job, *log = failing.stdout.splitlines()
    assert re.fullmatch(rf"job raysubmit_\w+ submitted to {head.address}", job)
    assert any(line.startswith(f"3 of 4 checkpoint(s) stored in {folder}/store, ") for line in log)
    assert any(line.startswith(f"failed: {bad} is no readable checkpoint") for line in log)
    rows = checkpoints_of(folder / "store")
    assert list(rows["path"]) == [f"{run}/step_{i}.pt" for i in (0, 1, 2, 9)]
    assert list(rows["status"]) == ["ok", "ok", "ok", "failed"]

    bad.unlink()
    words = ["--working-dir", "jobs", "--", sys.executable, "analyze.py", run, folder / "store", *CHEAP]
    command = [RAY, "job", "submit", "--address", head.address, *words]
    by_ray = finished(command, environment(head.home, RAY_AUTH_MODE="token"), ROOT)
    assert by_ray.returncode == 0
    assert f"everything is already there: 3 checkpoint(s) in {folder}/store" in by_ray.stdout
