"""Claim: the trace of a ReLU MLP's Hessian is exact to 1e-10 for the price of about one gradient an output.

Digits MLPs at init, early and trained, under both losses, small enough for a dense float64 Hessian. Against it stand
the layerwise identity, probes of the outputs (2 passes), Hutchinson's estimator and Hutch++ (Meyer, Musco, Musco and
Woodruff 2021) with 30 Hessian products each. Errors are root mean squares over seeds, relative to the trace; costs are
times of one gradient over all data, measured side by side.

    python -m benchmarks.trace_error
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.points import Point, points
from scalecurv.linalg.probes import probes
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import layer_traces, output_probe_terms
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.risk import loss_and_gradient

RESULTS = Path(__file__).parent / "results"
WIDTHS = (64, 32, 32, 10)
NUM_DATA = 500
SEEDS = 50
PRODUCTS = 30


def seconds(run: Callable[[], object]) -> float:
    """The median of five runs after one to warm up."""
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[1:]))


def signs(H: Tensor, seed: int, stream: str, count: int) -> Tensor:
    return probes(len(H), seed, stream, range(count))


def hutchinson(H: Tensor, seed: int) -> float:
    Z = signs(H, seed, "hutchinson", PRODUCTS)
    return float((Z * (H @ Z)).sum()) / PRODUCTS


def hutch_plus_plus(H: Tensor, seed: int) -> float:
    """A third of the products sketch a range, a third act on it, a third probe what is left."""
    third = PRODUCTS // 3
    Q, _ = torch.linalg.qr(H @ signs(H, seed, "sketch", third))
    Z = signs(H, seed, "rest", third)
    Z = Z - Q @ (Q.T @ Z)
    return float((Q * (H @ Q)).sum() + (Z * (H @ Z)).sum() / third)


def rows(point: Point) -> list[dict[str, object]]:
    """The lines of one point."""
    problem = point.problem
    mlp = structure_of(problem)
    assert mlp is not None
    H = HessianOperator(problem) @ torch.eye(problem.num_params, dtype=torch.float64)
    truth = float(torch.trace(H))
    gradient = seconds(lambda: loss_and_gradient(problem))
    Z = signs(H, 0, "hutchinson", PRODUCTS)
    product = seconds(lambda: HessianOperator(problem).matmat(Z)) / gradient
    one_pass = seconds(lambda: output_probe_terms(problem, mlp, 0, 0)) / gradient

    def probed(seed: int) -> float:
        return float(np.mean([output_probe_terms(problem, mlp, seed, i).sum() for i in range(2)]))

    def rms(estimate: Callable[[int], float]) -> float:
        return float(np.sqrt(np.mean([(estimate(seed) / truth - 1) ** 2 for seed in range(SEEDS)])))

    exact = float(layer_traces(problem, mlp).sum())
    methods = {
        "exact, by layers": (abs(exact / truth - 1), seconds(lambda: layer_traces(problem, mlp)) / gradient),
        "output probes, 2 passes": (rms(probed), 2 * one_pass),
        f"hutchinson, {PRODUCTS} products": (rms(lambda seed: hutchinson(H, seed)), product),
        f"hutch++, {PRODUCTS} products": (rms(lambda seed: hutch_plus_plus(H, seed)), product),
    }
    return [
        {"loss": point.loss, "when": point.when, "trace": truth, "method": name, "error": error, "gradients": cost}
        for name, (error, cost) in methods.items()
    ]


def main() -> None:
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    table = pd.DataFrame([row for point in points(WIDTHS, NUM_DATA) for row in rows(point)])
    worst = float(table.loc[table["method"].str.startswith("exact"), "error"].max())
    text = "\n".join(
        [
            f"{'-'.join(map(str, WIDTHS))}, N = {NUM_DATA}, {SEEDS} seeds, float64, one thread",
            table.to_string(index=False, float_format=lambda value: f"{value:.3g}"),
            f"largest error of the exact trace: {worst:.1e} (claim: 1e-10)",
        ]
    )
    print(text)
    (RESULTS / "trace_error.txt").write_text(text + "\n")
    if worst > 1e-10:
        raise SystemExit("the claim does not hold")


if __name__ == "__main__":
    main()
