"""SIGKILL to the driver of a Ray job, the only process that writes, at times drawn uniformly over its sweep."""

import os
import secrets
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chaos.audit import Audit, Tally
from chaos.processes import (
    POLL,
    PYTHON,
    ROOT,
    STALL,
    Spoken,
    end_processes_of,
    environment,
    kill,
    processes_of,
    wait_for,
    words_of,
)
from chaos.scene import OPTIONS, Scene

LIMIT = 60.0  # seconds for the head to start, a job to begin, a killed one to be noticed
RETRIES = 2  # undisturbed jobs in a row that do not finish a store, after which it is given up


def start_head(home: Path) -> tuple[Spoken, Callable[[], bool], str]:
    """Return a head of two CPUs under a token, a function that tells if it is up, and its address for jobs."""
    token = secrets.token_hex(32)
    os.environ.update(
        RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, RAY_USAGE_STATS_ENABLED="0"
    )  # before ray is imported
    port, dashboard, agent = free_ports(3)
    temporary = environment(home)["RAY_TMPDIR"]
    words = ["--head", "--block", "--num-cpus", 2, "--node-ip-address", "127.0.0.1", "--temp-dir", temporary]
    ports = ["--port", port, "--dashboard-port", dashboard, "--dashboard-agent-listen-port", agent]
    start = [Path(PYTHON).with_name("ray"), "start", *words, *ports, "--dashboard-host", "127.0.0.1"]
    head = Spoken(start, home, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    return head, lambda: "Ray runtime started." in head.text(), f"http://127.0.0.1:{dashboard}"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Job:
    """A `ray job submit -- python jobs/analyze.py RUN STORE`, and the process in it that drives."""

    def __init__(self, client: Any, scene: Scene, audit: Audit, home: Path):
        self._client, self._audit, self._home = client, audit, home
        words = [PYTHON, ROOT / "jobs" / "analyze.py", scene.run, audit.store, "--engine", "ray", *OPTIONS]
        self._store = str(audit.store)
        self._id = client.submit_job(entrypoint=shlex.join(map(str, words)))
        self.driver = 0

    def begun(self) -> bool:
        """Return True once the driver runs or ran; the shell around it has the store inside a longer word."""
        if not self.driver:
            drivers = (pid for pid in processes_of(self._home) if self._store in words_of(pid))
            self.driver = next(drivers, 0)
        return self.driver > 0 or self.over()

    def runs(self) -> bool:
        return self._store in words_of(self.driver)

    def over(self) -> bool:
        return bool(self._client.get_job_status(self._id).is_terminal())

    def hear(self) -> int | None:
        """Return the exit code of the driver, None while it runs, after the audit has heard its output."""
        self._audit.hear(self.text())
        code = self._client.get_job_info(self._id).driver_exit_code
        return None if code is None else int(code)

    def text(self) -> str:
        return str(self._client.get_job_logs(self._id))


def driver_kills(scene: Scene, kills: int, rng: np.random.Generator, say: Callable[[str], None]) -> Tally:
    """Start one head for all jobs; one store is swept by job after job until it is complete, then a new one."""
    home, tally = scene.home("d"), Tally("drivers")
    try:
        _, up, address = start_head(home)
        if not wait_for(up, LIMIT):
            tally.fault("hangs", "the head did not start")
            return tally
        from ray.job_submission import JobSubmissionClient

        _kill_all(JobSubmissionClient(address), scene, home, tally, kills, rng, say)
    finally:
        end_processes_of(home)
    return tally


def _kill_all(
    client: Any,
    scene: Scene,
    home: Path,
    tally: Tally,
    kills: int,
    rng: np.random.Generator,
    say: Callable[[str], None],
) -> None:
    counts, span, start_up, number = tally.counts, 0.0, 0.0, 0
    while counts["kills"] < kills and not counts["hangs"]:
        audit, done, failures = Audit(scene.folder / f"drivers-{number}", tally), 0, 0
        number += 1
        while True:
            left = 1.0 - done / scene.count
            last = not span or counts["kills"] >= kills  # undisturbed: to be timed, or to finish the last store
            after = None if last else float(rng.uniform(0.0, start_up + (span - start_up) * left))
            killed, code, seconds, first = _one(client, scene, home, audit, tally, after)
            done = audit.check()
            if counts["hangs"] or (not killed and code == 0):
                break
            failures = 0 if killed else failures + 1
            if failures == RETRIES:
                break
        audit.conclude(scene.reference)
        if not span:
            span, start_up = seconds, first
            say(f"drivers: undisturbed, a job takes {span:.1f} s, {start_up:.1f} of them before its first checkpoint")
            if code != 0:
                return
        say(f"drivers: {counts['kills']} kills, {tally.faults} faults")


def _one(
    client: Any, scene: Scene, home: Path, audit: Audit, tally: Tally, after: float | None
) -> tuple[bool, int | None, float, float]:
    """Run a job whose driver is killed `after` so many seconds, or never.

    Return (was it killed, its exit code, the seconds that it ran, the seconds until it had stored something).
    """
    tally.counts["sweeps"] += 1
    job = Job(client, scene, audit, home)
    if not wait_for(job.begun, LIMIT):
        tally.fault("hangs", f"a job for {audit.store.name} never began")
        return False, None, 0.0, 0.0
    began, first, killed = time.monotonic(), 0.0, False
    parts = audit.store / "parts"
    while job.runs() and not killed:
        passed = time.monotonic() - began
        if not first and any(parts.glob("*.h5")):
            first = passed
        if after is not None and passed >= after:
            killed = kill(job.driver)
            tally.counts["kills"] += killed
        if passed > 2 * STALL:
            tally.fault("hangs", f"a job for {audit.store.name} ran for minutes:\n{job.text()[-1000:]}")
            kill(job.driver)
            return True, None, passed, first
        time.sleep(POLL)
    seconds = time.monotonic() - began
    if not wait_for(job.over, LIMIT):
        tally.fault("hangs", f"a job for {audit.store.name} was over, and Ray did not notice")
        return killed, None, seconds, first
    code = job.hear()
    if not killed and code != 0:
        tally.fault("crashes", f"a job for {audit.store.name} ended with {code}:\n{job.text()[-1000:]}")
    return killed, code, seconds, first
