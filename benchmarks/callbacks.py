"""The cost of measuring while a model trains: seconds a measurement, and the share of the time at three budgets.

python -m benchmarks.callbacks          # writes benchmarks/results/callbacks.txt, in about a minute and a half

Each training runs for a fixed time with a monitor that is due at every 10th step. The share of the whole time and the
share without the first measurement, which no budget can foresee, are told apart. Steps that a budget leaves out are
counted. The last column is the time of a training step without a monitor.
"""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from torch import nn

from scalecurv.callbacks import Monitor

OUTPUT = Path(__file__).parent / "results" / "callbacks.txt"
SECONDS, BUDGETS, EVERY, SAMPLES, BATCH = 14.0, (0.01, 0.05, 0.2), 10, 64, 64
HEAD = ("network", "P", "budget", "measured", "left out", "s a measurement", "share", "after the first", "ms a step")


def mlp() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), (64,)


def cnn() -> tuple[nn.Module, tuple[int, ...]]:
    """Return a small CNN with batch norm and dropout for images of 8 x 8."""
    layers = (
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10)),
    )
    return nn.Sequential(*layers), (1, 8, 8)


def train(make: Callable[[], tuple[nn.Module, tuple[int, ...]]], budget: float | None) -> tuple[str, ...]:
    """Train for a fixed time; return a row of the table. Without a budget nothing is measured."""
    torch.manual_seed(0)
    model, shape = make()
    x, y = torch.randn(4096, *shape), torch.randint(10, (4096,))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    watch = Monitor((x, y), every=EVERY, budget=budget, max_samples=SAMPLES, rtol=0.1)
    costs, began, steps = [], time.perf_counter(), 0
    for step in count():
        now = time.perf_counter()
        if budget is not None and watch(model, step):
            costs.append(time.perf_counter() - now)
        if now - began > SECONDS:
            break
        rows = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        steps = step + 1
    elapsed, number = time.perf_counter() - began, sum(p.numel() for p in model.parameters())
    if budget is None:
        return f"{1000 * elapsed / steps:.2f}", "", str(number)
    return (
        *(make.__name__, str(number), f"{budget:.0%}", str(watch.measured), str(watch.skipped)),
        *(f"{sum(costs) / len(costs):.2f}", f"{sum(costs) / elapsed:.1%}", f"{sum(costs[1:]) / elapsed:.1%}"),
    )


def main() -> None:
    """Train both networks at all budgets, and write the table."""
    torch.set_num_threads(1)
    rows = [HEAD]
    for make in (mlp, cnn):
        step = train(make, None)[0]
        rows += [(*train(make, budget), step) for budget in BUDGETS]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    settings = (
        f"trace and lambda_max to rtol 0.1 of {SAMPLES} samples, due at every {EVERY}th step of {SECONDS:.0f} s of "
        f"training in batches of {BATCH}, one thread"
    )
    OUTPUT.write_text("\n".join([settings, *lines, ""]))
    print(OUTPUT.read_text())


if __name__ == "__main__":
    main()
