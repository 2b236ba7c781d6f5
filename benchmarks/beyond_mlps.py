"""T and K of a CNN, two residual networks and a vision transformer on digits, against the generic road and four peers.

T = tr H: our cost in gradients and our error, beside the errors of Hutchinson, Hutch++ and XTrace of the peers at equal
cost (root mean squares over seeds, from six to 96 products each). K: the products to an interval of 1 %, on the generic
road and on ours. Where a road's budget ends before, the products follow from the square law and are marked `~`.
Goals: 100 times fewer products at init and 10 times fewer trained, on the CNN and on the ResNet with batch norm.

References are dense Hessians in float64 at the same weights. All calls are in float32. Costs are in gradients: seconds
over those of one plain forward and backward of the same loss on the same data, medians. Ours are whole calls.

    python -m benchmarks.beyond_mlps          # ten to fifteen minutes on two idle cores
    python -m benchmarks.beyond_mlps --short  # one network, in seconds; writes no file
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import scalecurv as sc
from benchmarks.architectures import Trained, architectures
from benchmarks.curvature_error import products
from benchmarks.peers import MAKERS, Loss, Peer
from benchmarks.time_to_accuracy import BLOCK, seconds_of
from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg.probes import probes
from scalecurv.measures import Curvature
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.operators.hessian import HessianOperator
from scalecurv.statistics.estimate import Estimate

RESULTS = Path(__file__).parent / "results"
NUM_DATA, RTOL, SEEDS = 128, 0.01, 3
PEER_SEEDS = 3
BUDGET = {"generic": 400, "ours": 300}  # products of one call for K
LEAST, MOST = 6, 96  # products of a peer, who takes multiples of the first
GOALS = {"init": 100, "trained": 10}
GOAL_NETS = ("CNN", "ResNet-BN")


@dataclass(frozen=True)
class Truth:
    """T and K from a dense Hessian in float64."""

    T: float
    K: float


def truth_of(problem: sc.Problem) -> Truth:
    """Return the reference numbers, from one product for each parameter."""
    facts = gradient_facts(Evaluation(problem))
    H = HessianOperator(problem) @ torch.eye(problem.num_params, dtype=torch.float64)
    T, F = float(torch.trace(H)), float((H**2).sum())
    return Truth(T, scalar_curvature_of(T, T * T, F, facts.beta, facts.ghg, facts.gh2g))


def problem_of(at: Trained) -> sc.Problem:
    """Return a problem that knows nothing yet, as a user makes it."""
    return sc.Problem(at.model, (at.x, at.y), "cross_entropy")


def seeds_of(at: Trained) -> range:
    """Return the seeds of our calls: fewer where T is sampled, which takes minutes."""
    return range(SEEDS if at.net in GOAL_NETS else 1)


def timed(call: Callable[[], Estimate]) -> tuple[Estimate, float]:
    began = time.perf_counter()
    return call(), time.perf_counter() - began


def trace_rows(at: Trained, truth: Truth, seconds: dict[str, float], rivals: list[Peer]) -> list[dict[str, object]]:
    """Return our line for T and that of each method of the peers at our cost."""
    gradient = seconds["gradient"]
    strategy = Curvature(RTOL, BUDGET["ours"], route="sampled").strategy  # so few parameters would be written out
    ours = [timed(lambda seed=seed: trace_of(Evaluation(problem_of(at), seed), strategy)) for seed in seeds_of(at)]
    cost = float(np.median([took for _, took in ours]))
    rows = [row(at, "scalecurv", ours[0][0].method, [e.value for e, _ in ours], truth, cost / gradient)]
    for peer in rivals:
        each = seconds[peer.name]
        count = min(max(LEAST, LEAST * round(cost / each / LEAST)), MOST)
        traces = {"hutchinson": lambda n, seed, peer=peer: hutchinson(peer, at, n, seed), **peer.traces}
        for name, trace in traces.items():
            values = [trace(count, seed) for seed in range(PEER_SEEDS)]
            rows.append(row(at, peer.name, f"{name}, {count} products", values, truth, count * each / gradient))
    return rows


def row(
    at: Trained, library: str, method: str, values: Iterable[float], truth: Truth, gradients: float
) -> dict[str, object]:
    error = float(np.sqrt(np.mean([(value / truth.T - 1) ** 2 for value in values])))
    return {
        "net": at.net,
        "when": at.when,
        "T": truth.T,
        "library": library,
        "method": method,
        "error": error,
        "gradients": gradients,
    }


def hutchinson(peer: Peer, at: Trained, count: int, seed: int) -> float:
    num_params = sum(p.numel() for p in at.model.parameters())
    Z = probes(num_params, seed, "hutchinson", range(count), dtype=torch.float32)
    return float((Z * peer.block(Z)).sum()) / count


def curvature_row(at: Trained, truth: Truth, gradient: float) -> dict[str, object]:
    """Return what K to 1 % takes on the generic road and on ours."""

    def asked(route: str | None, budget: int, seed: int) -> tuple[Estimate, float]:
        measure = Curvature(RTOL, budget, route=route)
        return timed(lambda: scalar_curvature(Evaluation(problem_of(at), seed), measure.strategy).K)

    before, _ = asked("generic", BUDGET["generic"], 0)
    ours = [asked("sampled", BUDGET["ours"], seed) for seed in seeds_of(at)]
    needed = [products(K) for K, _ in ours]
    middle = float(np.median(needed))
    return {
        "net": at.net,
        "when": at.when,
        "K": truth.K,
        "generic": shown(products(before), not before.within(RTOL)),
        "ours": shown(middle, any(not K.within(RTOL) for K, _ in ours)),
        "fewer": f"{products(before) / middle:.3g}x",
        "gradients": float(np.median([took for _, took in ours])) / gradient,
        "error": max(abs(K.value / truth.K - 1) for K, _ in ours),
        "held": f"{sum(K.lower <= truth.K <= K.upper for K, _ in ours)}/{len(ours)}",
        "method": ours[0][0].method,
    }


def shown(count: float, extrapolated: bool) -> str:
    return f"{'~' if extrapolated else ''}{count:.0f}" if count < 1e5 else f"~{count:.2g}"


def tables(points: Iterable[Trained]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the lines of T and those of K at these points."""
    traces, curvatures = list[dict[str, object]](), list[dict[str, object]]()
    for at in points:
        began = time.perf_counter()
        truth = truth_of(problem_of(at).astype(torch.float64))
        loss = Loss(at.model, at.x, at.y, nn.CrossEntropyLoss())
        Z = probes(sum(p.numel() for p in at.model.parameters()), 0, "timing", range(BLOCK), dtype=torch.float32)
        rivals, refused = apart(loss, Z)
        calls: dict[str, Callable[[], object]] = {peer.name: lambda peer=peer, Z=Z: peer.block(Z) for peer in rivals}
        taken = seconds_of({"gradient": loss.gradient, **calls})
        seconds = {name: took if name == "gradient" else took / BLOCK for name, took in taken.items()}
        traces += trace_rows(at, truth, seconds, rivals)
        traces += [row(at, name, "refuses this network", [float("nan")], truth, float("nan")) for name in refused]
        curvatures.append(curvature_row(at, truth, seconds["gradient"]))
        print(f"{at.net} {at.when}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return pd.DataFrame(traces), pd.DataFrame(curvatures)


def apart(loss: Loss, Z: torch.Tensor) -> tuple[list[Peer], list[str]]:
    """Return the peers that take products with this network, and the names of those that cannot."""
    taking, refused = list[Peer](), list[str]()
    for name, make in MAKERS.items():
        try:
            peer = make(loss)
            peer.block(Z)
        except NotImplementedError:  # torch has no forward derivative of some operation
            refused.append(name)
        else:
            taking.append(peer)
    return taking, refused


def verdict(curvatures: pd.DataFrame) -> str:
    """Return one line that holds the ratios against the goals."""
    rows = curvatures[curvatures["net"].isin(GOAL_NETS)]
    parts = [
        f"{net} {when} {fewer} (goal {GOALS[when]}x)"
        for net, when, fewer in rows[["net", "when", "fewer"]].itertuples(index=False)
    ]
    return "fewer products to 1 % of K: " + ", ".join(parts)


def text_of(traces: pd.DataFrame, curvatures: pd.DataFrame, num_data: int) -> str:
    """Return both tables and the verdict."""
    lines = (table.to_string(index=False, float_format="{:.3g}".format) for table in (traces, curvatures))
    first, second = lines
    head = f"digits, N = {num_data}, cross entropy, float32, {torch.get_num_threads()} thread(s)"
    return f"{head}: T at equal cost\n{first}\n{head}: K to 1 %, in products\n{second}\n{verdict(curvatures)}\n"


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")  # the peers' own
    if "--short" in words:
        print(text_of(*tables(architectures(64, nets=("CNN",), whens=("trained",))), 64))
        return
    RESULTS.mkdir(exist_ok=True)
    done = list[tuple[pd.DataFrame, pd.DataFrame]]()
    for at in architectures(NUM_DATA):
        done.append(tables([at]))
        both = (pd.concat(parts) for parts in zip(*done, strict=True))
        (RESULTS / "beyond_mlps.txt").write_text(text_of(*both, NUM_DATA))  # a run that is ended keeps what it has
    print((RESULTS / "beyond_mlps.txt").read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
