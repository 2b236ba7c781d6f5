"""What would be done, shared out and cost is said, and nothing is touched."""

import re
from pathlib import Path

import pytest

from tests.commands import analyze
from tests.runs import write_checkpoint, write_run


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
