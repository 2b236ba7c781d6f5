"""The picture of a store: what stands on a terminal of 80 and of 40 columns, word by word."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from scalecurv.record import Stage
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.running import Running
from scalecurv.watch.frame import Size, frame_of
from scalecurv.watch.live import QUANTITIES
from scalecurv.watch.tail import Tail
from tests.watch.stores import NOW, a_sweep, exact, fail_checkpoint, store_checkpoint

STAGE = Stage("/runs/a/step_120.pt", "", 190.0, 249, "moments", 180.0, 240, 1000)
TRACE = Estimate(12.34, 0.025, 12.29, 12.39, 0.95, 40, 40, "hutchinson", Status.CONVERGED)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for step, loss in enumerate((1000.0, 100.0, 10.0, 1.0)):
        numbers = {"loss": exact(loss), **({"trace": TRACE} if step < 2 else {})}
        store_checkpoint(tmp_path / "store", 10 * step, numbers)
    return tmp_path / "store"


def shown(
    store: Path,
    *sweeps: Running,
    width: int = 80,
    height: int | None = None,
    quantities: Sequence[str] = QUANTITIES,
    now: float = NOW + 100,
) -> list[str]:
    """Return the lines of a frame without the blanks at their ends, all but the first, the name of the store."""
    console = Console(width=width, record=True, file=open("/dev/null", "w"), highlight=False)  # noqa: SIM115
    with console.file:
        seen = Tail(store, tuple(quantities)).look()
        console.print(frame_of(store, seen, sweeps, quantities, Size(width, height), now))
    first, *lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, (first, *lines))) <= width
    return lines


def test_a_finished_store(store: Path) -> None:
    lines = shown(store)
    assert lines[0] == "4 checkpoint(s): 4 ok"
    assert " ".join(lines[1:3]).startswith("nothing is running; the last checkpoint was stored at 2023-11-1")
    assert " ".join(lines[1:3]).endswith(", 0:01:10 ago")
    assert lines[3:] == [
        "a  4 ok  step 30",
        "  loss log  █▆▃▁ 1",
        "  trace     ▄▄   12.34 +- 0.05 (95 %), step 10",
    ]


def test_a_narrow_terminal(store: Path) -> None:
    store_checkpoint(store, 40, {"scalar_curvature": TRACE.with_status(Status.BUDGET)})
    lines = shown(store, a_sweep(STAGE), width=40, now=NOW)
    assert lines == [
        "5 checkpoint(s): 5 ok",
        "checkpoints 36/60, 1 failed, 0:00:40 le…",
        "step_120.pt 0:03:10, moments, 240 of up…",
        "a  5 ok  step 40",
        "  loss          1, step 30",
        "  trace         12.34 +- 0.05, step 10",
        "  scalar_curva… 12.34 +- 0.05, budget",
    ]


def test_what_is_computed_now(store: Path) -> None:
    reading = Stage("/runs/a/step_130.pt", "", 1.0)
    more = Stage("/runs/a/step_140.pt", "", 100.0, 1300, "moments", 90.0, 1240, 1000)
    counting = Stage("/runs/a/step_150.pt", "", 50.0, 8, "rank", 45.0)
    sweep = a_sweep(STAGE, reading, more, counting, products_per_second=812.4)
    lines = shown(store, sweep, now=NOW)
    assert lines[1:6] == [
        "checkpoints   ━━━━━━     36/60, 1 failed, 0:00:40 left, 36/min, 812 products/s",
        "step_120.pt   ━━         moments, 240 of up to 1,000 products, 0:03:10",
        "step_140.pt   ━━━━━━━━━━ moments, 1,240 products, more than expected, 0:01:40",
        "step_150.pt              rank, 0:00:50",
        "step_130.pt              reading, 0:00:01",
    ]


def test_many_workers_are_told_in_few_lines(store: Path) -> None:
    stages = [Stage(f"step_{i}.pt", "", float(i), 0, "rank") for i in range(16)]
    lines = shown(store, a_sweep(*stages), now=NOW)
    assert [line.split()[0] for line in lines[2:8]] == [f"step_{i}.pt" for i in range(15, 9, -1)]
    assert lines[8] == "  and 10 more under way"


def test_a_sweep_that_waits_and_one_that_starts(store: Path) -> None:
    waiting, starting = a_sweep(follows=True, done=60), a_sweep(done=0, failed=0)
    assert shown(store, waiting, now=NOW)[1].split(maxsplit=2)[-1] == "waits for checkpoints, 1 failed"
    assert shown(store, starting, now=NOW)[1].split()[1:] == ["0/60,", "workers", "start"]


def test_a_sweep_that_was_killed_or_is_silent(store: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    killed = a_sweep(pid=process.pid, host=a_sweep().host)
    text = " ".join(shown(store, killed, now=NOW + 5))
    assert (
        f"the sweep of process {process.pid} on {killed.host} ended 0:00:05 ago without a word, at 36/60: it was"
        in text
    )
    assert "run the same `scalecurv analyze` again, it goes on from there" in text
    assert "nothing is running" not in text
    stage = replace(STAGE, measure="\x1b[2J")
    assert "\x1b[2J" not in "".join(shown(store, a_sweep(stage, host="a\x1b[2J"), a_sweep(stage), now=NOW + 600))
    far = a_sweep(host="node7", pid=7)
    text = " ".join(shown(store, far, now=NOW + 600))
    assert "nothing was heard of the sweep of process 7 on node7 for 0:10:00: see whether it still runs" in text


def test_failures_and_their_reasons(store: Path) -> None:
    for step in range(50, 55):
        fail_checkpoint(store, step, f"the loss is inf at {step}")
    fail_checkpoint(store, 60, "/runs/a/step_60.pt is no\x1b[2J checkpoint")
    (store / "parts" / "1-broken.h5").write_bytes(b"no part")
    lines = shown(store, width=100)
    assert lines[0] == "10 checkpoint(s): 4 ok, 6 failed"
    assert "a  4 ok, 6 failed  step 60" in lines
    at = lines.index(r"failed: /runs/a/step_60.pt is no\x1b[2J checkpoint")
    assert lines[at + 1 : at + 4] == [
        "failed: /runs/a/step_54.pt: the loss is inf at 54",
        "failed: /runs/a/step_53.pt: the loss is inf at 53",
        "and 3 more failed: `scalecurv show STORE` has all",
    ]
    assert lines[at + 4].startswith("broken:")


def test_gaps_are_where_a_checkpoint_failed(store: Path) -> None:
    fail_checkpoint(store, 15, "no")
    assert "  loss log  █▆ ▃▁ 1" in shown(store)


def test_runs_that_were_written_to_last_stand_first_and_fit(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for i in range(9):
        store_checkpoint(store, i, {"loss": exact(i)}, run=f"/runs/r{i}")
    lines = shown(store, height=12)
    assert [line.split()[0] for line in lines if line.startswith("r")] == ["r8", "r7", "r6"]
    assert lines[-1] == "and 6 more run(s)"
    assert len(lines) + 1 <= 12
    assert len([line for line in shown(store) if line.startswith("r")]) == 9


def test_two_analyses_of_a_run_are_two_courses(store: Path) -> None:
    store_checkpoint(store, 30, {"loss": exact(7.0)}, dtype="float64", fingerprint="/runs/a-30")
    lines = shown(store)
    assert "a, dtype float32  4 ok  step 30" in lines
    assert "a, dtype float64  1 ok  step 30" in lines


def test_what_is_not_there_yet(tmp_path: Path) -> None:
    assert shown(tmp_path / "none") == ["is not there yet: `scalecurv analyze CHECKPOINTS STORE` makes it"]
    assert shown(tmp_path) == ["holds no checkpoint yet", "nothing is running"]
