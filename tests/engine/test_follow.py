"""`submit` follows a job to its end, or to Ctrl-C; a job server made by hand notes what it was asked."""

import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from scalecurv.engine.submit import submit

JOB = "raysubmit_1"


class Server:
    """Takes jobs, prints two pieces of log, and ends as told."""

    asked: dict[str, Any]
    exit_code: int | None = 0
    interrupt = False

    def __init__(self, address: str):
        Server.asked = {"address": address}

    def submit_job(self, **job: Any) -> str:
        Server.asked |= job
        return JOB

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        assert job == JOB
        yield "1/2 ok\n"
        if Server.interrupt:
            raise KeyboardInterrupt
        yield "2/2 ok\n"

    def get_job_info(self, job: str) -> SimpleNamespace:
        return SimpleNamespace(driver_exit_code=Server.exit_code, status="STOPPED", message="somebody stopped it.")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield an address where something listens; ray is replaced, as it must not be imported before the token is set."""
    for name, content in {
        "ray": {},
        "ray.exceptions": {"RayError": OSError},
        "ray.job_submission": {"JobSubmissionClient": Server},
    }.items():
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        vars(sys.modules[name]).update(content)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setattr(Server, "exit_code", 0)
    monkeypatch.setattr(Server, "interrupt", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def followed(address: str) -> tuple[int, str]:
    said: list[str] = []
    return submit(["--rtol", "0.1", "--", "/a run", "/store"], address, said.append), "".join(said)


def test_the_job_is_this_interpreters_analyze_with_this_search_path(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    followed(address)
    assert Server.asked["address"] == address
    words = [sys.executable, "-m", "scalecurv", "analyze", "--rtol", "0.1", "--", "/a run", "/store"]
    assert shlex.split(Server.asked["entrypoint"]) == words
    assert Server.asked["runtime_env"] == {"env_vars": {"PYTHONPATH": f"{os.getcwd()}{os.pathsep}/mine"}}


def test_the_environment_names_the_server_where_no_option_does(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
    assert submit([], None, lambda text: None) == 0
    assert Server.asked["address"] == address


@pytest.mark.parametrize("code", [0, 1, 2, 3, 137])
def test_the_jobs_exit_code_is_passed_on_after_its_log(
    address: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(Server, "exit_code", code)
    assert followed(address) == (code, f"job {JOB} submitted to {address}\n1/2 ok\n2/2 ok\n")


def test_a_job_that_was_stopped_is_a_failure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "exit_code", None)
    code, said = followed(address)
    assert (code, said.splitlines()[-1]) == (1, f"job {JOB} ended as STOPPED: somebody stopped it.")


def test_ctrl_c_leaves_the_job_and_says_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "interrupt", True)
    code, said = followed(address)
    assert code == 130
    assert said.splitlines()[1:] == [
        "1/2 ok",
        f"no longer followed, job {JOB} goes on; `ray job stop --address {address} {JOB}` stops it",
    ]
