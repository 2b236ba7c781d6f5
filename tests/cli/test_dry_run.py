"""A dry run says what would be done, shared out and cost, and touches nothing."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalecurv.cli.dry_run import describe
from scalecurv.engine import dispatch
from scalecurv.engine.cost import Cost
from scalecurv.engine.resources import Resources
from scalecurv.engine.worker import Worker
from scalecurv.sweeps.work import find_work
from tests.commands import analyze
from tests.runs import (
    gradient_sweep,
    write_checkpoint,
    write_data,
    write_not_finite,
    write_run,
    write_truncated,
)


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
    head, engine, shared, products, size, eta, *rest = result.stdout.splitlines()
    steps = [0, 1, 2, 7] if stored else [0, 1, 2]
    count = len(steps)
    table, paths = rest[:-count], rest[-count:]
    assert table[0].split() == ["quantity", "route", "why", "products", "gradients", "MB"]
    assert [row.split("  ")[0] for row in table[1:-1]] == [
        *("loss, grad_norm, beta", "ghg, gh2g", "noise_floor", "kinks", "rank"),
    ]
    assert re.fullmatch(r"at most 22 gradients a checkpoint, \S+ s at \S+ s each; rank apart", table[-1])
    assert head == f"{count} checkpoint(s) found, {count} to do on engine serial: gradient, rank"
    assert engine == "engine serial: --engine serial"
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
    monkeypatch.setattr(dispatch, "num_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    told = []
    monkeypatch.setattr(Worker, "cost", lambda self, at, *where: told.append((str(at.path), *where)) or cost)
    sweep = replace(gradient_sweep(folder, range(steps)), resources=resources)
    lines = list(describe(sweep, find_work(sweep)))
    alone = resources.engine == "serial" or steps == 1
    threads = resources.threads or (4 if "engine serial" in lines[0] and alone else 1)
    assert told == [(str(folder / "run" / "step_0.pt"), "cpu", threads)]
    paths = [str(folder / "run" / f"step_{i}.pt") for i in range(steps)]
    shown = paths if steps <= 5 else [*paths[:5], f"... and {steps - 5} more"]
    assert lines[-len(shown) :] == shown
    return lines[: -len(shown)]


@pytest.mark.parametrize(
    ("resources", "steps", "cost", "engine", "shared", "eta"),
    [
        (Resources("serial"), 3, DEAR, "serial", f"plan: {ALONE}, one process", "225"),
        (Resources(), 1, DEAR, "serial", f"plan: {ALONE}, one process", "75"),
        (Resources("ray"), 1, DEAR, "ray", SHARED.format(4, 4), "38"),
        (Resources("ray"), 1, CHEAP, "ray", ONE_EACH.format(4), "0"),
        (Resources(), 8, DEAR, "ray", ONE_EACH.format(4), "150"),
        (Resources(), 8, CHEAP, "serial", f"plan: {ALONE}, one process", "1"),
        (Resources(), 103, CHEAP, "serial", f"plan: {ALONE}, one process, then 4 worker(s) where that saves time", "4"),
        (Resources(), 2, DEAR, "ray", SHARED.format(2, 4), "50"),
        (Resources(), 2, replace(DEAR, seconds=0.1), "serial", f"plan: {ALONE}, one process", "30"),
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
    head, reason, *rest = said(monkeypatch, tmp_path, steps, resources, cost)
    assert head == f"{steps} checkpoint(s) found, {steps} to do on engine {engine}: gradient"
    assert reason.startswith(f"engine {engine}: ")
    assert rest == [
        shared,
        f"at most 150 Hessian products a checkpoint, 100 of them of probes, {cost.seconds:g} s each on cpu here; "
        "products with J apart",
        "at most 2,000 MB a worker",
        f"at most {eta} s of Hessian products in all, at that speed",
    ]


def test_of_another_cluster_no_time_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = said(monkeypatch, tmp_path, 3, Resources("ray", "h:1"), DEAR)
    assert lines[1:3] == [
        "engine ray: --engine ray",
        "plan: one checkpoint a worker, as many workers as the cluster has room for",
    ]
    assert lines[-1] == "at most 2,000 MB a worker"


FAULTS: dict[str, tuple[Callable[[Path], object], bool]] = {  # and whether its cost can be known
    "cut off": (write_truncated, False),
    "not finite": (write_not_finite, False),
    "infinite loss": (
        lambda path: torch.save({k: v * 1e12 for k, v in torch.load(write_checkpoint(path))["model"].items()}, path),
        True,
    ),
    "another width": (lambda path: write_checkpoint(path, widths=(5, 5, 3)), False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_why_the_first_checkpoint_fails_is_said_as_by_the_run(tmp_path: Path, name: str) -> None:
    spoil, known = FAULTS[name]
    spoil(write_run(tmp_path / "run", range(1, 3), loss="mse") / "step_0.pt")
    command = (tmp_path / "run", tmp_path / "store")
    dry = analyze(*command, "--dry-run")
    assert dry.exit_code == 1
    assert ("cost: not known, the first of them fails" not in dry.stdout) == known
    assert dry.stdout.splitlines()[-3:] == [f"{tmp_path}/run/step_{i}.pt" for i in range(3)]
    run = analyze(*command)
    assert run.exit_code == 1
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("failed: "))
    assert dry.stderr == f"{line}\n"


def test_what_makes_the_run_pointless_is_misuse_of_a_dry_run_too(run: Path, tmp_path: Path) -> None:
    write_data(run / "data.npz", num_inputs=7)
    dry, wet = (analyze(run, tmp_path / "store", *words) for words in (["--dry-run"], []))
    assert (dry.exit_code, dry.stdout, dry.stderr) == (wet.exit_code, wet.stdout, wet.stderr)
    assert dry.exit_code == 2


def test_where_all_is_there_only_that_is_said(run: Path, tmp_path: Path) -> None:
    analyze(run, tmp_path / "store")
    lines = analyze(run, tmp_path / "store", "--dry-run").stdout.splitlines()
    assert lines == ["3 checkpoint(s) found, 0 to do on engine serial: gradient"]
