"""The lines of `calibrate` for networks of any architecture: T, F and K through their stopping rules.

A CNN, two residual networks, a vision transformer and an MLP on digits, so small that their Hessians are written out as
references, at init, trained and late, under both losses where the MLP stands for all. Products are real ones, as probes
that are fresh for each block of the data and pairs of samples need the network itself.
"""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import cache

import torch
from torch import nn
from torch.nn import functional

from benchmarks.architectures import STEPS, ViT, cnn, images, resnet, train
from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.measures import Curvature, Moments
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status

SEEDS, NUM_DATA, BUDGET = 400, 60, 300
DRAWN = 40  # samples in pairs
RTOL = 0.3  # coarse, as a fresh probe takes as long here as on a network that is a hundred times larger
NETS: dict[str, Callable[[], nn.Module]] = {
    "cnn": lambda: cnn(1),
    "resnet bn": lambda: resnet(nn.BatchNorm2d, 1),
    "resnet gn": lambda: resnet(lambda width: nn.GroupNorm(1, width), 1),
    "vit": lambda: ViT(4, 1),
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 10)),
}
CELLS = [(net, loss, when) for net in NETS for loss in ("cross_entropy", "mse") for when in STEPS]
CELLS = [(net, loss, when) for net, loss, when in CELLS if loss == "cross_entropy" or (net == "cnn" and when != "late")]


@cache
def cell(net: str, loss: str, when: str) -> tuple[Problem, dict[str, float]]:
    """Return the problem of one cell in float64, and its true numbers."""
    x, y = images(NUM_DATA)
    torch.manual_seed(0)
    model = NETS[net]()
    train(model, x, y, STEPS[when])
    targets = y if loss == "cross_entropy" else functional.one_hot(y, 10).double()
    problem = Problem(model, (x.double(), targets), loss, dtype=torch.float64)
    facts = gradient_facts(Evaluation(problem))
    H = HessianOperator(problem) @ torch.eye(problem.num_params, dtype=torch.float64)
    T, F = float(torch.trace(H)), float((H**2).sum())
    K = scalar_curvature_of(T, T * T, F, facts.beta, facts.ghg, facts.gh2g)
    return problem, {"trace": T, "trace_h2": F, "scalar_curvature": K, "t2_minus_f": T * T - F}


def block(task: tuple[str, str, str, range]) -> dict[tuple[str, str], list[Estimate]]:
    """Return the estimates of one cell by route and quantity, for these seeds, but for exact ones."""
    *key, seeds = task
    torch.set_num_threads(1)
    problem, truth = cell(*key)
    found: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for seed in seeds:
        evaluation = Evaluation(problem, seed)
        answers = dict(Moments(RTOL, BUDGET, route="sampled").compute(evaluation).estimates)
        answers |= Curvature(RTOL, BUDGET, route="sampled").compute(evaluation).estimates
        drawn = Curvature(RTOL, BUDGET, route="sampled", from_samples=DRAWN)
        pairs = scalar_curvature(Evaluation(problem, seed), drawn.strategy)
        for quantity in truth:
            if answers[quantity].status is not Status.EXACT:
                found["sampled", quantity].append(answers[quantity])
        if "pairs" in pairs.trace_h2.method:  # else the rule refused them, as at init
            found["pairs", "trace_h2"].append(pairs.trace_h2)
            found["pairs", "scalar_curvature"].append(pairs.K)
    return found


def network_lines(
    line: Callable[..., dict[str, object]], pool: Executor, seeds: int = SEEDS, share: int = 50
) -> list[dict[str, object]]:
    """Return the lines of all cells, each made by `line`; `pool` takes `share` seeds of a cell at once."""
    tasks = [(*key, range(at, min(at + share, seeds))) for key in CELLS for at in range(0, seeds, share)]
    found: dict[tuple[str, ...], dict[tuple[str, str], list[Estimate]]] = defaultdict(lambda: defaultdict(list))
    for (*key, _), estimates in zip(tasks, pool.map(block, tasks), strict=True):
        for answer, some in estimates.items():
            found[tuple(key)][answer] += some
    return [
        line(" ".join(key), f"{RTOL:g}", route, quantity, estimates, cell(*key)[1][quantity])
        for key, answers in found.items()
        for (route, quantity), estimates in answers.items()
        if len(estimates) >= seeds // 2  # the rule on pairs may take them with some seeds only, too few to tell
    ]
