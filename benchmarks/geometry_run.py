"""The geometry of one digits run from init to trained, by the product's own commands.

64-16-10 under cross entropy, 400 samples. The check fails where a number is inconsistent with its second road, where
the mean sectional curvature K / (P (P - 1)) leaves the range of the extremes, or where the smallest trace over
rescalings exceeds the trace.

    python -m benchmarks.geometry_run
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import scalecurv as sc

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
SQL = """
select step, scalar_curvature as K, beta, t2_minus_f as "T^2 - F", sectional_max, sectional_min, mean_curvature, trace,
    trace_rescaled, lambda_max, principal_max, ricci_gradient, residual_share, imbalance, num_params as P
from results order by step
"""
PLANES = "cosine of the two steps, and the sectional curvature of their plane, at the weights between them"


def command(*words: object) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], check=True, cwd=ROOT, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        run, store = Path(name) / "run", Path(name) / "store"
        command("jobs/train.py", run, "--widths", "64,16,10", "--analysis-samples", 400, "--checkpoints", 9)
        measures = ("gradient", "extremes", "moments", "rescaling", "curvature", "principal", "gauss_newton")
        command("-m", "scalecurv", "analyze", run, store, "--engine", "serial", "--measure", ",".join(measures))
        planes = command("-m", "scalecurv", "planes", run).replace(f"{run} ", "run ")
        opened = sc.open_store(store)
        table = opened.sql(SQL)
        wrong = opened.sql("select * from estimates where status in ('inconsistent', 'failed')")
    P = table.pop("P")[0]
    text = table.to_string(index=False, float_format=lambda value: f"{value:.5g}") + f"\n\n{PLANES}\n{planes}"
    (RESULTS / "geometry_run.txt").write_text(text)
    print(text, end="")
    mean = table["K"] / (P * (P - 1))
    inside = ((table["sectional_min"] <= mean) & (mean <= table["sectional_max"])).all()
    if len(wrong) or not inside or not (table["trace_rescaled"] <= table["trace"]).all():
        sys.exit("the claim does not hold")


if __name__ == "__main__":
    main()
