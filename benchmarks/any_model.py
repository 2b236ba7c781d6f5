"""Claim: what `scalecurv analyze` stores of a CNN and of a transformer is what dense matrices say.

The two examples of jobs/models.py, trained on digits by jobs/train.py, analysed in float64 by the command, against the
oracle in tests/dense.py. `inside` allows for rounding, 1e-10 of the dense value. What is exact or certified must hold
it, as must counts. Of 95 % intervals one in twenty may miss, by no more than its half-width; that of sectional_mean,
known to be skewed, may miss by more.

    python -m benchmarks.any_model
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

import scalecurv as sc
from tests.any_model import MEASURES, compared, dense_values, point
from tests.dense import dense_at

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
MODELS = ("cnn", "transformer")
STEPS = (0, 2000)
SHOWN = ("model", "num_params", "step", "quantity", "dense", "value", "lower", "upper", "inside", "status")


def command(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], check=True, cwd=ROOT / "jobs", capture_output=True, text=True)


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    sys.path.append(str(ROOT / "jobs"))
    tables = []
    with tempfile.TemporaryDirectory() as name:
        for model in MODELS:
            run, store = Path(name) / model, Path(name) / f"{model}-store"
            command("train.py", run, "--model", model, "--analysis-samples", 40, "--checkpoints", 3)
            words = ("--model", f"models:{model}", "--dtype", "float64", "--rtol", 0.05, "--measure", MEASURES)
            words = (*words, "--route", "generic")  # so few parameters would be written out
            command("-m", "scalecurv", "analyze", run, store, *words, "--engine", "serial", "--threads", 1)
            opened = sc.open_store(store)
            rows = opened.chosen().merge(opened.results()[["fingerprint", "step", "num_params"]], on="fingerprint")
            for step in STEPS:
                at = compared(rows[rows["step"] == step], dense_values(dense_at(point(run, model, step))))
                tables.append(at.assign(model=model))
    table = pd.concat(tables)
    text = table[list(SHOWN)].to_string(index=False, float_format="{:.6g}".format)
    held, wrong = int(table["inside"].sum()), int(table["wrong"].sum())
    text += f"\n\n{held} of {len(table)} intervals hold the dense value; {wrong} wrong\n"
    (RESULTS / "any_model.txt").write_text(text)
    print(text, end="")
    if wrong:
        sys.exit("the claim does not hold")


if __name__ == "__main__":
    main()
