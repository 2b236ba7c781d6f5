"""T, F and K to 1 % and the largest eigenvalue to 1e-3, in seconds and products, against four libraries.

T = tr H, F = tr H^2 and K to 1 %, the largest eigenvalue to 1e-3: ReLU MLPs on digits at init, early and trained,
under both losses, float32, by scalecurv with its own certified stop and by four peers with an oracle's stop. A peer is
stopped where its TRUE error stays below the target (benchmarks/stops.py), which no rule of its own can beat. Where its
samples end before that, its products are extrapolated from their spread, and marked `~`. References are exact in
float64: T by layers, F by pairs of samples, and the eigenvalue of a converged eigsh. Peers have no K: theirs comes by
our formula from their T and F. Of several methods of one peer, the one of the fewest products counts.

Costs are in gradients: seconds over those of one plain forward and backward of the same loss, side by side in one
process, medians over three seeds. Ours are whole calls, checks of the model included. A peer's are its products times
the seconds of one of them, without its own linear algebra.

    python -m benchmarks.time_to_accuracy          # 64-128-128-10, N = 600: at most five minutes on two idle cores
    python -m benchmarks.time_to_accuracy --full   # 64-512-512-10 too, N = 1797: an hour
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse.linalg
import torch
from torch import nn

import scalecurv as sc
from benchmarks.comparison import lines_of, losses_of, picture_of, ratios_of, summary_of, text_of
from benchmarks.nets import relu_net
from benchmarks.peers import HalfSquares, Loss, Peer, peers
from benchmarks.points import Point, points
from benchmarks.stops import Slope, Stop, settled, stop_of_curvature, stop_of_grid, stop_of_mean
from scalecurv.linalg.probes import probes
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.operators.hessian import HessianOperator

RESULTS = Path(__file__).parent / "results"
SHORT, FULL = ((64, 128, 128, 10),), ((64, 128, 128, 10), (64, 512, 512, 10))
TARGETS = {"T": 1e-2, "F": 1e-2, "K": 1e-2, "lambda_max": 1e-3}
SEEDS = 3
SAMPLES = 120  # probes of a peer before its products are extrapolated
GRID = np.array([12, 24, 48, 96])  # products of a peer's trace by deflation
BLOCK, REPEATS = 10, 5  # probes that are multiplied together, and times that they are timed
OURS = {
    "T": lambda problem, seed: sc.trace(problem, rtol=1e-2, seed=seed),
    "F": lambda problem, seed: sc.trace_h2(problem, rtol=1e-2, seed=seed),
    "K": lambda problem, seed: sc.scalar_curvature(problem, rtol=1e-2, seed=seed),
    "lambda_max": lambda problem, seed: sc.lambda_max(problem, rtol=1e-3, seed=seed),
}


def references(point: Point) -> tuple[dict[str, float], Slope]:
    """Return the four true numbers of a point and the facts of its gradient, in float64."""
    evaluation = Evaluation(point.problem)
    exact = (
        Curvature(route="exact").compute(evaluation).estimates | Moments(route="exact").compute(evaluation).estimates
    )
    names = {"T": "trace", "F": "trace_h2", "K": "scalar_curvature"}
    truth = {name: exact[quantity].value for name, quantity in names.items()}
    H = HessianOperator(point.problem).to_scipy()
    truth["lambda_max"] = float(scipy.sparse.linalg.eigsh(H, 1, which="LA", tol=1e-8, return_eigenvectors=False)[0])
    facts = gradient_facts(evaluation)
    return truth, Slope(facts.beta, facts.ghg, float(facts.Hg.norm() ** 2))


def loss_of(point: Point) -> Loss:
    """Return the same loss in plain PyTorch, float32."""
    problem = point.problem
    x, y = problem.x.float(), problem.y
    widths = tuple(int(width) for width in point.net.split("-"))
    model = relu_net(widths, 0)
    nn.utils.vector_to_parameters(problem.theta.float(), model.parameters())
    if point.loss == "mse":
        return Loss(model, x, y.float(), HalfSquares())
    return Loss(model, x, y, nn.CrossEntropyLoss())


def seconds_of(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each call, alternated, after one of each to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(REPEATS + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if i:
                taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(times)) for name, times in taken.items()}


def stops_of(peer: Peer, P: int, seed: int, truth: dict[str, float], slope: Slope) -> Iterator[tuple[str, str, Stop]]:
    """Yield (quantity, method, stop) of one peer and one seed."""
    x, w = [], []
    for begin in range(0, SAMPLES, BLOCK):
        Z = probes(P, seed, peer.name, range(begin, begin + BLOCK), dtype=torch.float32)
        HZ = peer.block(Z)
        x.append((Z * HZ).sum(0).double().numpy())
        w.append((HZ.double() ** 2).sum(0).numpy())
    x, w = np.concatenate(x), np.concatenate(w)
    yield "T", "hutchinson", stop_of_mean(x, truth["T"], TARGETS["T"])
    yield "F", "hutchinson", stop_of_mean(w, truth["F"], TARGETS["F"])
    yield "K", "hutchinson", stop_of_curvature(x, w, slope, truth["K"], TARGETS["K"])
    for name, trace in peer.traces.items():
        T = np.array([trace(int(count), seed) for count in GRID])
        yield "T", name, stop_of_grid(T, GRID, truth["T"], TARGETS["T"])
        F = np.array([w[:count].mean() for count in GRID])
        K = settled(slope.curvature(T**2, T, F), 2 * GRID, truth["K"], TARGETS["K"])
        if K is not None:
            yield "K", name, K
    found = peer.largest(truth["lambda_max"], TARGETS["lambda_max"], seed)
    never = Stop(float("nan"), float("nan"))
    yield "lambda_max", "its own", never if found is None else Stop(found, TARGETS["lambda_max"])


def rows_of(point: Point) -> list[dict[str, object]]:
    """Return a row for each quantity, library, method and seed at one point."""
    truth, slope = references(point)
    loss, problem = loss_of(point), point.problem.astype(torch.float32)
    rivals = peers(loss)
    Z = probes(problem.num_params, 0, "timing", range(BLOCK), dtype=torch.float32)
    calls: dict[str, Callable[[], object]] = {peer.name: lambda peer=peer: peer.block(Z) for peer in rivals}
    seconds = seconds_of({"gradient": loss.gradient, **calls})
    here = {"net": point.net, "loss": point.loss, "when": point.when}
    rows: list[dict[str, object]] = []
    for seed in range(SEEDS):
        for quantity, ask in OURS.items():
            fresh = sc.Problem(loss.model, (loss.x, loss.y), point.loss)
            began = time.perf_counter()
            found = ask(fresh, seed)
            cost = (time.perf_counter() - began) / seconds["gradient"]
            error = abs(found.value / truth[quantity] - 1)
            mine = {"library": "scalecurv", "method": str(found.status), "extrapolated": False}
            rows.append(
                {**here, "quantity": quantity, **mine, "products": found.num_matvecs, "error": error, "gradients": cost}
            )
        for peer in rivals:
            each = seconds[peer.name] / BLOCK / seconds["gradient"]
            for quantity, method, stop in stops_of(peer, problem.num_params, seed, truth, slope):
                theirs = {"library": peer.name, "method": method, "extrapolated": stop.extrapolated}
                rows.append(
                    {
                        **here,
                        "quantity": quantity,
                        **theirs,
                        "products": stop.products,
                        "error": stop.error,
                        "gradients": stop.products * each,
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="the wider net too, and all digits")
    full = parser.parse_args().full
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    RESULTS.mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    N = 1797 if full else 600
    for widths in FULL if full else SHORT:
        for point in points(widths, N):
            rows += rows_of(point)
            print(f"{point.net} {point.loss} {point.when} done", flush=True)
    table = summary_of(pd.DataFrame(rows))
    table.to_csv(RESULTS / "time_to_accuracy.csv", index=False)
    text = "\n".join(lines_of(table, N, SEEDS))
    print(text)
    (RESULTS / "time_to_accuracy.txt").write_text(text + "\n")
    where = text_of(losses_of(ratios_of(table)))
    (RESULTS / "where_we_lose.txt").write_text(f"Lines in which the best peer takes fewer seconds:\n{where}\n")
    picture_of(table, RESULTS / "time_to_accuracy.png")


if __name__ == "__main__":
    main()
