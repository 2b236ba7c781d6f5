"""The journey of a first user: own files, one store, learning rate and seed as columns, a CSV, and renamed runs."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "learning_rates.py"


def test_the_example_runs_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--folder", str(tmp_path / "journey"), "--short"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if re.match(r"\d+ check|before|renamed|after", line)] == [
        "18 checkpoints analysed",
        "before: 18 rows, 0 ghosts",
        "renamed: 18 rows, 18 ghosts",
        "0 checkpoints analysed",
        "after: 18 rows, 0 ghosts",
    ]
    stages = [line.partition(":")[0] for line in said if re.fullmatch(r"[a-z ]+: \d+[.]\d s", line)]
    assert stages == ["training", "analysis", "query", "picture", "the same analysis again"]
    assert (tmp_path / "journey" / "sharpness.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(tmp_path / "journey" / "sharpness.csv")
    columns = ["lr", "seed", "step", "loss", "lambda_max", "lambda_max_lower", "lambda_max_upper", "edge"]
    assert list(table.columns) == columns
    assert [tuple(row) for row in table[["lr", "seed", "step"]].itertuples(index=False)] == [
        (lr, seed, step) for lr in (0.05, 0.1, 0.2) for seed in (0, 1) for step in (0, 10, 20)
    ]
    np.testing.assert_allclose(table["edge"], table["lambda_max"] * table["lr"] / 2, rtol=1e-12)
    assert (table["loss"] > 0).all()
    assert table["lambda_max"].between(table["lambda_max_lower"], table["lambda_max_upper"]).all()
