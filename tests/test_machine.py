"""The memory of the machine: the least of what is there and of every limit, and a quarter of it where none is given."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import scalecurv as sc
from scalecurv import machine
from scalecurv.analysis import Identity, Request
from scalecurv.machine import STEP, allowed, default_memory, total_memory
from scalecurv.measures import measures_named
from scalecurv.record import Asked, Stored, measure_key

IDENTITY = Identity("weights", "task", "float32")


def test_the_default_is_a_quarter_and_is_resolved_once() -> None:
    memory = default_memory()
    assert memory % STEP == 0
    assert total_memory() / 4 - STEP < memory <= total_memory() / 4
    assert allowed(None) == memory
    assert allowed(7) == 7
    assert sc.Problem(torch.nn.Linear(2, 1), (torch.zeros(3, 2), torch.zeros(3, 1)), "mse").memory == memory
    (extremes,) = measures_named(("extremes",))
    assert extremes.asked.memory == memory  # a number, which the row records


def test_a_limit_of_the_process_counts() -> None:
    """As `ulimit -v` sets it."""
    program = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({64 * STEP}, {resource.RLIM_INFINITY}))\n"
    program += "from scalecurv.machine import default_memory; print(default_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 16 * STEP


def test_limits_of_control_groups_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 has the limits of all parents, "max" for none; version 1 has a folder of its own."""
    shown = {Path("/proc/self/cgroup"): "4:memory:/job\n1:cpu:/\n0::/a/b\n"}
    files = {
        "a/memory.max": f"{40 * STEP}\n",
        "a/b/memory.max": "max\n",
        "memory/job/memory.limit_in_bytes": f"{44 * STEP}\n",
        "cpu/memory.limit_in_bytes": "1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    read = machine._text
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_text", lambda path: shown.get(path) or read(path))
    assert total_memory() == 40 * STEP
    (tmp_path / "a/memory.max").write_text("max\n")
    assert total_memory() == 44 * STEP


def test_a_larger_machine_asks_for_nothing_more() -> None:
    """Only a memory that is given makes numbers be computed again, where they are not within the tolerance."""
    small, large = 1 << 30, 1 << 35
    for memory, offered, again in ((large, large, False), (large, small, True), (small, large, False)):
        (measure,) = measures_named(("extremes",), memory=memory)
        key = measure_key("weights", "task", "extremes", measure.options, measure.version, "float32", 0)
        stored = {key: Stored((Asked(measure.asked.rtol, measure.asked.max_matvecs, small),))}
        missing = Request((measure,), offered=offered).missing(IDENTITY, stored)
        assert bool(missing) == again, (memory, offered)
