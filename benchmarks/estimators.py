"""Claim: the error that each estimator quotes is the error that it makes, whatever the number of products.

An MLP 64-24-10 on 200 digits, trained for 300 steps, is small enough (P = 1,810) for its Hessian to be formed in
float64, from the operator's own products. Every estimator runs over many seeds at several numbers of products: its root
mean square error is set against the standard error that it quoted, its 95 % interval against how often it held.

    python -m benchmarks.estimators
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

import scalecurv as sc
from scalecurv.geometry.scalar import scalar_curvature_estimate, scalar_curvature_of
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.hutchinson import terms, trace_estimate, trace_square_estimate
from scalecurv.linalg.krylov.extremes import extreme_eigenvalues
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from tests.digits import digits

RESULTS = Path(__file__).parent / "results"
SEEDS = 400  # the ratio made / quoted is then known to about 0.04
STARTS = 60
PROBES = (32, 64, 128, 256, 512)
STEPS = (5, 10, 15, 20, 30, 40)


def trained_problem() -> sc.Problem:
    """Where the estimators are tried: 200 digits, cross entropy, float64."""
    x, y = (torch.from_numpy(array) for array in digits(200))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return sc.Problem(model, (x, y), "cross_entropy")


def power_iteration(H: torch.Tensor, num_matvecs: int, seed: int) -> float:
    """The peer of Lanczos: the Rayleigh quotient after as many products."""
    v = torch.randn(len(H), generator=torch.Generator().manual_seed(seed), dtype=H.dtype)
    for _ in range(num_matvecs - 1):
        v = H @ v
        v = v / v.norm()
    return float(v @ (H @ v))


def statistical_rows(problem: sc.Problem, H: torch.Tensor) -> list[dict[str, object]]:
    """Trace, trace of the square and K: error made, error quoted, coverage."""
    facts = gradient_facts(Evaluation(problem))
    T, F = float(torch.trace(H)), float((H * H).sum())
    K = scalar_curvature_of(T, T * T, F, facts.beta, facts.ghg, facts.gh2g)
    estimators: dict[str, tuple[float, Callable[[np.ndarray], sc.Estimate]]] = {
        "trace": (T, trace_estimate),
        "trace_h2": (F, trace_square_estimate),
        "scalar_curvature": (
            K,
            lambda rows: scalar_curvature_estimate(rows, beta=facts.beta, ghg=facts.ghg, gh2g=facts.gh2g),
        ),
    }
    per_seed = [terms(DenseOperator(H), seed, range(max(PROBES))) for seed in range(SEEDS)]
    table = []
    for name, (truth, estimate) in estimators.items():
        for m in PROBES:
            found = [estimate(rows[:m]) for rows in per_seed]
            made = np.sqrt(np.mean([(e.value - truth) ** 2 for e in found]))
            quoted = np.sqrt(np.mean([e.stderr**2 for e in found]))
            held = np.mean([e.lower <= truth <= e.upper for e in found])
            table.append(
                {
                    "quantity": name,
                    "num_matvecs": m,
                    "error made": made / abs(truth),
                    "error quoted": quoted / abs(truth),
                    "made / quoted": made / quoted,
                    "95 % held": held,
                }
            )
    return table


def extreme_rows(problem: sc.Problem, H: torch.Tensor) -> list[dict[str, object]]:
    """lambda_max: error of the Ritz value, width of the certificate, and the peer at the same cost."""
    truth = float(torch.linalg.eigvalsh(H)[-1])
    operator = sc.hessian(problem)
    table = []
    for steps in STEPS:
        found = [extreme_eigenvalues(operator, seed, 0.0, steps).largest for seed in range(STARTS)]
        peer = [power_iteration(H, steps, seed) for seed in range(STARTS)]
        table.append(
            {
                "num_matvecs": steps,
                "error of lanczos": np.sqrt(np.mean([(e.value / truth - 1) ** 2 for e in found])),
                "certificate": np.mean([(e.upper - e.lower) / truth for e in found]),
                "held": np.mean([e.lower <= truth <= e.upper for e in found]),
                "error of power iteration": np.sqrt(np.mean([(value / truth - 1) ** 2 for value in peer])),
            }
        )
    return table


def draw(sampled: pd.DataFrame, extremes: pd.DataFrame) -> None:
    """Errors against products: made as dots, quoted as lines."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, rows in sampled.groupby("quantity", sort=False):
        (line,) = left.plot(rows["num_matvecs"], rows["error quoted"], label=f"{name}, quoted")
        left.plot(rows["num_matvecs"], rows["error made"], "o", color=line.get_color(), label=f"{name}, made")
    for column in ("error of lanczos", "certificate", "error of power iteration"):
        right.plot(extremes["num_matvecs"], extremes[column].clip(lower=1e-16), "o-", label=column)
    for axes, title in ((left, "Hutchinson"), (right, "largest eigenvalue")):
        axes.set(xlabel="Hessian products", ylabel="relative error", title=title, yscale="log")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    left.set_xscale("log", base=2)
    figure.savefig(RESULTS / "estimators.png", dpi=150)


def main() -> None:
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    problem = trained_problem()
    H = sc.hessian(problem) @ torch.eye(problem.num_params, dtype=torch.float64)
    sampled = pd.DataFrame(statistical_rows(problem, H))
    extremes = pd.DataFrame(extreme_rows(problem, H))
    text = "\n\n".join(
        [
            f"P = {problem.num_params}, N = {problem.num_data}, {SEEDS} seeds, {STARTS} starts, relative errors",
            sampled.to_string(index=False, float_format=lambda x: f"{x:.3g}"),
            extremes.to_string(index=False, float_format=lambda x: f"{x:.3g}"),
        ]
    )
    print(text)
    (RESULTS / "estimators.txt").write_text(text + "\n")
    draw(sampled, extremes)


if __name__ == "__main__":
    main()
