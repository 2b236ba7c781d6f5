"""Claim: H, J and the gradient are checked before they are believed, for at most twelve gradients.

The zoo (every layer and operation of torch that can be differentiated twice): how many networks pass the check, how
many are refused with a line, and how many pass although their H is wrong (by central differences of torch's own
gradient, which the tests of the zoo compare too). False alarms over 1,000 random networks, of which every third has
zero biases and zero inputs, so that pre-activations lie on kinks. Misses among planted faults, five seeds and two
losses each. The cost: seconds of the check over those of one gradient of all samples in float64, least of seven each.

    python -m benchmarks.checks [--short]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from jobs.models import cnn
from scalecurv import Problem
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.preflight import preflight
from scalecurv.problem.risk import loss_and_gradient
from tests.digits import digits
from tests.faults import FAULTS
from tests.zoo import REFUSED, SERVED

RESULTS = Path(__file__).parent / "results"
ACTS = (
    nn.ReLU, nn.Tanh, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Hardtanh, nn.LeakyReLU, nn.Hardswish, nn.Sigmoid,
    nn.CELU, nn.Softshrink,
)  # fmt: skip
KINDS = ("mlp", "conv", "norm", "recurrent", "residual", "pool")


def said(problem: Problem) -> str:
    """The line that the check refuses with, "" where it passes."""
    try:
        check_derivatives(problem)
    except (CheckpointError, Misuse) as error:
        return str(error)
    return ""


class Residual(nn.Module):
    def __init__(self, width: int, act: nn.Module):
        super().__init__()
        self.inner, self.act = nn.Linear(width, width), act

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.act(self.inner(h))


class Last(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.cell = nn.GRU(2, width, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x.unflatten(1, (8, 2)))[0][:, -1]


def random_problem(seed: int) -> Problem:
    """A network of a kind, width, depth, activation, scale, loss and number of samples drawn from the seed."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    act, width, kind = ACTS[rng.integers(len(ACTS))], int(rng.integers(2, 40)), KINDS[seed % len(KINDS)]
    middle: list[nn.Module]
    if kind == "conv":
        middle = [nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3, padding=1), act(), nn.Flatten(), nn.Linear(48, width)]
    elif kind == "pool":
        middle = [
            nn.Unflatten(1, (1, 4, 4)),
            nn.Conv2d(1, 3, 3, padding=1),
            act(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(12, width),
        ]
    elif kind == "recurrent":
        middle = [Last(width)]
    else:
        middle = [nn.Linear(16, width)]
    if kind == "norm":
        middle.append(nn.LayerNorm(width))
    for _ in range(int(rng.integers(1, 5))):
        middle += [Residual(width, act())] if kind == "residual" else [act(), nn.Linear(width, width)]
    model = nn.Sequential(*middle, act(), nn.Linear(width, 3)).double().eval()
    count = int(rng.integers(1, 300))
    x = torch.from_numpy(rng.standard_normal((count, 16)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(float(10 ** rng.uniform(-1.5, 0.7)))
        if seed % 3 == 0:
            x[: count // 3] = 0
            for name, parameter in model.named_parameters():
                if "bias" in name:
                    parameter.zero_()
    loss = ("cross_entropy", "mse")[int(rng.integers(2))]
    return Problem(model, (x, torch.from_numpy(rng.integers(0, 3, count))), loss)


def of_the_zoo() -> list[str]:
    passed, refused, lines = 0, 0, []
    for name, make in SERVED.items():
        model, x, outputs = make()
        y = torch.randn(len(x), outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        line = said(Problem(model, (x, y), "mse"))
        passed += not line
        lines += [f"  refused though served: {name}: {line[:100]}"] if line else []
    for name, (make, _) in REFUSED.items():
        try:
            model, x, outputs = make()
            problem = Problem(model, (x, torch.randn(len(x), outputs, dtype=torch.float64)), "mse")
            loss_and_gradient(problem)
            refused += bool(said(problem))
        except (CheckpointError, Misuse):
            refused += 1
        else:
            lines += [] if said(problem) else [f"  not refused: {name}"]
    return [f"zoo: {len(SERVED) + len(REFUSED)} networks, {passed} pass, {refused} refused in a line", *lines]


def false_alarms(count: int) -> list[str]:
    alarms = [(seed, line) for seed in range(count) if (line := said(random_problem(seed)))]
    return [
        f"random networks: {count}, false alarms {len(alarms)}",
        *(f"  seed {s}: {line[:150]}" for s, line in alarms),
    ]


def misses(seeds: int) -> list[str]:
    missed, tried = [], 0
    for name, (make, _) in FAULTS.items():
        for seed in range(seeds):
            for loss in ("cross_entropy", "mse"):
                torch.manual_seed(seed)
                problem = Problem(make().double().eval(), (torch.randn(20, 5).double(), torch.arange(20) % 3), loss)
                tried += 1
                missed += [] if said(problem) else [f"  missed: {name}, seed {seed}, {loss}"]
    return [f"planted faults: {len(FAULTS)} kinds, {tried} networks, missed {len(missed)}", *missed]


def least(ask: Callable[[], object], repeats: int = 7) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return min(taken)


def cost(name: str, model: nn.Module, x: np.ndarray, y: np.ndarray, dtype: torch.dtype) -> str:
    def fresh() -> Problem:
        problem = Problem(model, (x, y), "cross_entropy", dtype=dtype)
        loss_and_gradient(problem)
        preflight(problem)
        return problem

    ready = [fresh() for _ in range(7)]
    gradient = least(lambda: loss_and_gradient(ready[0]))
    check = least(lambda: check_derivatives(ready.pop()))
    kind = str(dtype).removeprefix("torch.")
    return (
        f"{name:34} {kind:8} N = {len(x):5}  gradient {1e3 * gradient:8.2f} ms  check {check / gradient:6.1f} gradients"
    )


def costs() -> list[str]:
    x, y = digits()[:2]
    x, y = np.asarray(x), np.asarray(y)
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    rows = []
    for dtype in (torch.float64, torch.float32):
        rows += [
            cost("digits MLP 64-128-128-10", mlp, x, y, dtype),
            cost("CNN of jobs/models.py", cnn().eval(), x, y, dtype),
        ]
    return ["cost of the check, in gradients of all samples; goal 12", *rows]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="a tenth of the networks, nothing written")
    short = parser.parse_args().short
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lines = [*of_the_zoo(), *false_alarms(100 if short else 1000), *misses(1 if short else 5), *costs()]
    print("\n".join(lines))
    if not short:
        (RESULTS / "checks.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
