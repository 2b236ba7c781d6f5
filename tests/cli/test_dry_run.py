"""A dry run says what would be done, shared out and cost, and touches nothing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalecurv.cli import dry_run
from scalecurv.cli.dry_run import describe
from scalecurv.engine import dispatch
from scalecurv.engine.cost import Cost
from scalecurv.engine.dispatch import Resources
from scalecurv.engine.worker import Worker
from scalecurv.sweeps.work import find_work
from tests.commands import analyze
from tests.runs import gradient_sweep, write_checkpoint, write_run, write_truncated


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize("stored", [False, True])
def test_a_dry_run_changes_nothing(run: Path, tmp_path: Path, stored: bool) -> None:
    if stored:
        analyze(run, tmp_path / "store")
        write_checkpoint(run / "step_7.pt", seed=7)
        next((tmp_path / "store" / "parts").iterdir()).write_bytes(b"garbage")
    before = tree(tmp_path)
    result = analyze(run, tmp_path / "store", "--dry-run", "--measure", "gradient,rank")
    assert tree(tmp_path) == before
    assert result.exit_code == 0
    head, shared, products, size, eta, *paths = result.stdout.splitlines()
    steps = [0, 1, 2, 7] if stored else [0, 1, 2]
    count = len(steps)
    assert head == f"{count} checkpoint(s) found, {count} to do on engine serial: gradient, rank"
    assert shared == "plan: one checkpoint a worker, one process"
    most = r"at most 8 Hessian products a checkpoint, 0 of them of probes, \S+ s each on cpu here; .* apart"
    assert re.fullmatch(most, products)
    assert re.fullmatch(r"at most \d+ MB a worker", size)
    assert re.fullmatch(r"at most [\d,]+ s of Hessian products in all, at that speed", eta)
    assert paths == [f"{run}/step_{i}.pt" for i in steps]
    assert result.stderr.count("it is set aside, and its work done again\n") == stored


DEAR = Cost(matvecs=150, probes=100, seconds=0.5, bytes=2_000_400_000)
CHEAP = replace(DEAR, seconds=0.001)
ALONE, ONE_EACH = "one checkpoint a worker", "plan: one checkpoint a worker, {} worker(s)"
SHARED = "plan: the probes of each checkpoint over {} workers, {} worker(s)"


def said(
    monkeypatch: pytest.MonkeyPatch, folder: Path, steps: int, resources: Resources, cost: Cost | None
) -> list[str]:
    """Return the lines for so many checkpoints, at this cost, on a machine of four cores."""
    for module in (dispatch, dry_run):
        monkeypatch.setattr(module, "num_cores", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    told = []
    monkeypatch.setattr(Worker, "cost", lambda self, at, *where: told.append((str(at.path), *where)) or cost)
    sweep = replace(gradient_sweep(folder, range(steps)), resources=resources)
    lines = list(describe(sweep, find_work(sweep)))
    threads = resources.threads or (4 if "engine serial" in lines[0] else 1)
    assert told == [(str(folder / "run" / "step_0.pt"), "cpu", threads)]
    assert lines[-steps:] == [str(folder / "run" / f"step_{i}.pt") for i in range(steps)]
    return lines[:-steps]


@pytest.mark.parametrize(
    ("resources", "steps", "cost", "engine", "shared", "eta"),
    [
        (Resources("serial"), 3, DEAR, "serial", f"plan: {ALONE}, one process", "225"),
        (Resources(), 1, DEAR, "serial", f"plan: {ALONE}, one process", "75"),
        (Resources("ray"), 1, DEAR, "ray", SHARED.format(4, 4), "38"),
        (Resources("ray"), 1, CHEAP, "ray", ONE_EACH.format(4), "0"),
        (Resources(), 8, DEAR, "ray", ONE_EACH.format(4), "150"),
        (Resources(), 2, DEAR, "ray", SHARED.format(2, 4), "50"),
        (Resources(plan="checkpoints"), 2, DEAR, "ray", ONE_EACH.format(4), "75"),
        (Resources(plan="probes"), 2, CHEAP, "ray", SHARED.format(4, 4), "0"),
        (Resources(plan="probes"), 2, DEAR, "ray", SHARED.format(4, 4), "75"),
        (Resources(plan="probes", workers=3, threads=1), 1, DEAR, "ray", SHARED.format(3, 3), "42"),
        (Resources("ray", threads=2), 6, DEAR, "ray", ONE_EACH.format(2), "225"),
        (Resources("ray", workers=9), 3, DEAR, "ray", ONE_EACH.format(4), "75"),
        (Resources(address="h:1", workers=40), 3, DEAR, "ray", SHARED.format(13, 40), "29"),
    ],
)
def test_what_is_shared_out_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    resources: Resources,
    steps: int,
    cost: Cost,
    engine: str,
    shared: str,
    eta: str,
) -> None:
    assert said(monkeypatch, tmp_path, steps, resources, cost) == [
        f"{steps} checkpoint(s) found, {steps} to do on engine {engine}: gradient",
        shared,
        f"at most 150 Hessian products a checkpoint, 100 of them of probes, {cost.seconds:g} s each on cpu here; "
        "products with J apart",
        "at most 2,000 MB a worker",
        f"at most {eta} s of Hessian products in all, at that speed",
    ]


def test_of_another_cluster_no_time_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = said(monkeypatch, tmp_path, 3, Resources("ray", "h:1"), DEAR)
    assert lines[1] == "plan: one checkpoint a worker, as many workers as the cluster has room for"
    assert lines[-1] == "at most 2,000 MB a worker"


def test_a_cost_that_cannot_be_known_is_said(tmp_path: Path) -> None:
    """The first of them is cut off."""
    write_truncated(write_run(tmp_path / "run", range(1, 3)) / "step_0.pt")
    lines = analyze(tmp_path / "run", tmp_path / "store", "--dry-run").stdout.splitlines()
    assert lines[1] == "cost: not known, the first of them cannot be analysed"
    assert lines[2:] == [f"{tmp_path}/run/step_{i}.pt" for i in range(3)]


def test_where_all_is_there_only_that_is_said(run: Path, tmp_path: Path) -> None:
    analyze(run, tmp_path / "store")
    lines = analyze(run, tmp_path / "store", "--dry-run").stdout.splitlines()
    assert lines == ["3 checkpoint(s) found, 0 to do on engine serial: gradient"]
