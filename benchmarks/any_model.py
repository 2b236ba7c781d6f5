"""Claim: what `scalecurv analyze` stores of a CNN and of a transformer is what dense matrices say.

The two examples of jobs/models.py, trained on digits by jobs/train.py, analysed in float64 by the command, against the
oracle in dense.py. `inside` allows for rounding, 1e-10 of the dense value. What is exact or certified must hold it, as
must counts. Of 95 % intervals one in twenty may miss, by no more than its half-width; that of sectional_mean, known to
be skewed, may miss by more.

    python benchmarks/any_model.py
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from dense import dense, dense_values

import scalecurv as sc
from scalecurv.user_code import resolve

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
MODELS = ("cnn", "transformer")
STEPS = (0, 2000)
MEASURES = "gradient,extremes,moments,curvature,rank,spectrum,principal,gauss_newton"
SHOWN = ("model", "num_params", "step", "quantity", "dense", "value", "lower", "upper", "inside", "status")
ROUNDING = 1e-10
PROVEN = ("exact", "certified", "lower_bound")


def compared(rows: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """Rows of a store beside the dense values: if the interval (of a bracket, its side) holds them, or is wrong."""
    table = rows[rows["quantity"].isin(list(values)) & (rows["component"] == "")].copy()
    table["dense"] = table["quantity"].astype(str).map(values).astype(float)
    slack = ROUNDING * table["dense"].abs()
    above = (table["lower"] - slack <= table["dense"]) | (table["quantity"] == "curvature_upper")
    below = (table["dense"] <= table["upper"] + slack) | (table["quantity"] == "curvature_lower")
    table["inside"] = above & below
    far = (table["value"] - table["dense"]).abs() > table["upper"] - table["lower"]
    table["wrong"] = ~table["inside"] & (table["status"].isin(PROVEN) | far & (table["quantity"] != "sectional_mean"))
    return table


def point(run: Path, model: str, step: int) -> sc.Problem:
    """The example at one checkpoint in float64, filled by torch alone."""
    network = resolve("--model", f"models:{model}", "factory")()
    network.load_state_dict(torch.load(run / f"step_{step}.pt", weights_only=True)["model"])
    data = np.load(run / "data.npz")
    return sc.Problem(network.double().eval(), (data["x"].astype(np.float64), data["y"]))


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
                at = compared(rows[rows["step"] == step], dense_values(dense(point(run, model, step))))
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
