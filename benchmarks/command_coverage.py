"""Claim: what `scalecurv analyze` stores is as near the truth as it says, run after run.

A digits MLP small enough to be dense is trained; its checkpoints are analysed by the whole command, in process, with
seeds 0, 1, 2, ... by each route. Every row of K has to lie within 4 standard errors of the dense float64 value, or
inside its proven bound; the 95 % intervals of sampled rows have to hold between 92 % and 98 % of the time.

    python -m benchmarks.command_coverage [SEEDS]
"""

import contextlib
import io
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import scalecurv as sc
from scalecurv.cli.main import main as command
from scalecurv.data.load import load_data
from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.results.query import Store

RESULTS = Path(__file__).parent / "results"
TRAIN = Path(__file__).parents[1] / "jobs" / "train.py"
SEEDS = 200
WIDTHS = (64, 6, 10)
RTOL = 0.1
MAX_MATVECS = 400
ROUTES = ("exact", "sampled", "generic")
QUANTITIES = ("trace", "trace_h2", "scalar_curvature", "t2_minus_f")
BAND = (0.92, 0.98)


def train(run: Path) -> list[Path]:
    """The checkpoints of one run, by the program of the demo."""
    widths = ",".join(map(str, WIDTHS))
    subprocess.run(
        [
            sys.executable,
            TRAIN,
            run,
            "--widths",
            widths,
            "--steps",
            "400",
            "--checkpoints",
            "4",
            "--analysis-samples",
            "100",
        ],
        check=True,
        capture_output=True,
    )
    return sorted(path for path in run.iterdir() if path.suffix in (".pt", ".safetensors"))


def truths(run: Path, store: Store) -> dict[tuple[str, str], float]:
    """Every quantity at every checkpoint of the store, by (path, quantity), from the dense float64 Hessian."""
    data = load_data(run / "data.npz")
    found = {}
    for path in store.results()["checkpoint"]:
        state = torch.load(path, weights_only=True)
        state = state.get("model", state)
        model = nn.Sequential(nn.Linear(*WIDTHS[:2]), nn.ReLU(), nn.Linear(*WIDTHS[1:]))
        model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
        problem = sc.Problem(model.double(), (data.x, data.y), "cross_entropy")
        H = sc.hessian(problem) @ torch.eye(problem.num_params, dtype=torch.float64)
        facts = gradient_facts(Evaluation(problem))
        T, F = float(torch.trace(H)), float((H**2).sum())
        K = scalar_curvature_of(T, T * T, F, facts.beta, facts.ghg, facts.gh2g)
        found |= {(path, name): value for name, value in zip(QUANTITIES, (T, F, K, T * T - F), strict=True)}
    return found


def rows(run: Path, folder: Path, route: str, seed: int) -> pd.DataFrame:
    """The estimates that one run of the command stored."""
    store = folder / f"{route}-{seed}"
    words = ["analyze", str(run), str(store), "--route", route, "--seed", str(seed), "--engine", "serial"]
    words += ["--threads", "1", "--measure", "moments,curvature", "--dtype", "float64"]
    words += ["--rtol", str(RTOL), "--max-matvecs", str(MAX_MATVECS)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command.main(words, standalone_mode=False)
    except SystemExit as done:
        if done.code:
            raise RuntimeError(said.getvalue()) from done
    opened = sc.open_store(store)
    paths = opened.results()[["fingerprint", "checkpoint"]]
    estimates = opened.estimates()
    chosen = estimates[(estimates["component"] == "") & estimates["quantity"].isin(QUANTITIES)]
    return chosen.merge(paths, on="fingerprint").assign(route=route, seed=seed)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = folder / "run"
        train(run)
        tasks = [(run, folder, route, seed) for route in ROUTES for seed in range(1 if route == "exact" else seeds)]
        with ProcessPoolExecutor() as pool:
            table = pd.concat(pool.map(rows, *zip(*tasks, strict=True)))
        truth = truths(run, sc.open_store(folder / "exact-0"))
    table["truth"] = [truth[key] for key in zip(table["checkpoint"], table["quantity"], strict=True)]
    off = (table["value"] - table["truth"]).abs()
    rounding = 1e-10 * table["truth"].abs()  # of what is exact
    table["held"] = (table["lower"] - rounding <= table["truth"]) & (table["truth"] <= table["upper"] + rounding)
    table["relative"] = off / table["truth"].abs()
    table["z"] = off / table["stderr"]
    table["kind"] = np.where(table["status"] == "exact", "exact", np.where(table["stderr"].isna(), "proven", "student"))
    groups = table.groupby(["route", "quantity", "kind"], sort=False)
    columns = {"rows": ("held", "size"), "held": ("held", "mean"), "largest_z": ("z", "max")}
    summary = groups.agg(**columns, largest_error=("relative", "max"))
    text = f"{seeds} seeds, {'-'.join(map(str, WIDTHS))}, {table['checkpoint'].nunique()} checkpoints, rtol {RTOL}, "
    text += f"at most {MAX_MATVECS} products\n"
    text += summary.reset_index().to_string(index=False, float_format="{:.3g}".format)
    of_kind = summary.reset_index().set_index("kind")["held"]
    student = of_kind[of_kind.index == "student"]
    inside = student.between(*BAND).all() and (of_kind[of_kind.index == "proven"] >= 0.95).all()
    beyond = int((table["z"] > 4).sum())
    text += f"\nrows beyond 4 standard errors: {beyond} of {int(table['z'].notna().sum())}"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "command_coverage.txt").write_text(text + "\n")
    if not inside or (of_kind[of_kind.index == "exact"] < 1).any():
        raise SystemExit("the claim does not hold")


if __name__ == "__main__":
    main()
