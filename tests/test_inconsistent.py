"""Two roads to one number that do not meet: stored as what they are, and said."""

from pathlib import Path

import pytest
import torch

from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import Status
from tests.commands import analyze
from tests.runs import write_run


def test_what_is_inconsistent_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each checkpoint, on stderr, and it is stored: no failure."""
    huge = torch.tensor([1e9], dtype=torch.float64)
    monkeypatch.setattr("scalecurv.measures.gauss_newton.euler_bounds", lambda *_: huge)
    result = analyze(write_run(tmp_path / "run"), tmp_path / "store", "--measure", "gradient,gauss_newton")
    assert (result.exit_code, result.stdout.split()[:4]) == (0, ["3", "of", "3", "checkpoint(s)"])
    assert result.stderr.splitlines()[3:] == [f"lambda_max_ggn is inconsistent at 3 of 3: {Status.INCONSISTENT.advice}"]
    rows = open_store(tmp_path / "store").sql("select quantity from estimates where status = 'inconsistent'")
    assert rows["quantity"].tolist() == ["lambda_max_ggn"] * 3
