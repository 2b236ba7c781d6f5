"""An embedded cluster leaves nothing behind when its driver is killed. Small processes stand in for Ray's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecurv.engine.embedded_cluster import EmbeddedCluster, family_of
from tests.commands import HANG, end_processes_of, processes_of, start, wait_for

pytestmark = pytest.mark.fault

CHILD = "open('/proc/self/comm', 'w').write({name!r}); print('up', flush=True); import time; time.sleep(7200)"
DRIVER = """
import subprocess, sys, time
from scalecurv.engine.embedded_cluster import EmbeddedCluster
with EmbeddedCluster() as embedded:
    for child in sys.argv[1:]:
        subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE).stdout.readline()
    embedded.watch()
    print("watched", flush=True)
    time.sleep(7200)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    end_processes_of(tmp_path / "home")


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_agents_end_with_a_driver_that_was_killed_and_nothing_else_does(home: Path) -> None:
    children = [CHILD.format(name=name) for name in ("ray::AnAgent", "somebody")]
    driver = start([sys.executable, "-c", DRIVER, *children], home)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "watched\n"
    assert {"ray::AnAgent", "somebody"} < {command_of(pid) for pid in family_of(driver.pid)}
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert wait_for(lambda: [command_of(pid) for pid in processes_of(home)] == ["somebody"])


def test_leaving_ends_the_watch_and_only_what_came_since_counts() -> None:
    with subprocess.Popen(["sleep", "7200"]) as before, EmbeddedCluster() as embedded:
        embedded.watch()
        assert embedded.reaper is None  # there is nobody to watch
        with subprocess.Popen(
            [sys.executable, "-c", "input()", "/ray/autoscaler/_private/monitor.py"], stdin=-1
        ) as late:
            embedded.watch()
            assert embedded.reaper is not None
            embedded.end_autoscaler()
            assert late.wait(HANG) == -signal.SIGKILL
        assert before.poll() is None
        before.kill()
    assert embedded.reaper.poll() == 0
