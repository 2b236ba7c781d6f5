"""K of the loss over all data to 5 % and 1 %: what it costs as N grows, and how often the interval holds.

Trained networks under cross entropy, float32: an MLP and a CNN on the 1,797 digits, against K from a dense Hessian in
float64; the same kinds on synthetic images, 14 x 14 pixels in ten classes, with N = 6,000, 60,000 and 600,000 samples.
There no dense Hessian is in reach: `held` counts the pairs of seeds whose intervals overlap. Costs are in gradients:
seconds over those of one plain forward and backward over all data. Goal: flat in N, beyond the passes over all data.

Each row is a process with a limit of its own, so that a slow row loses no other.

    python -m benchmarks.population                    # at most nine minutes on two idle cores, 2 GB
    python -m benchmarks.population --full             # more seeds, and the CNN at N = 600,000: an hour
    python -m benchmarks.population --rows digits-mlp,mlp-60000
    python -m benchmarks.population --row NAME [SEEDS] # one of them, in this process, as JSON
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import scalecurv as sc
from benchmarks.architectures import cnn, images, train
from benchmarks.beyond_mlps import truth_of
from benchmarks.nets import relu_net
from benchmarks.peers import Loss
from scalecurv.measures import Curvature
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.statistics.estimate import Estimate

RESULTS = Path(__file__).parent / "results"
TOLERANCES = (0.05, 0.01)
BUDGET = 2000
SIDE, CLASSES, NOISE = 14, 10, 2.0  # of the synthetic images
TRAINED_ON, STEPS = 20_000, 600  # samples, and steps of Adam
CHUNK = 50_000  # images that are drawn together
REPEATS = 3  # plain gradients, of which the median counts
FULL_SEEDS = 10  # times the seeds of a row


@dataclass(frozen=True)
class Row:
    """A trained network on `num_data` digits or synthetic images, with its seeds and the seconds that it may take."""

    net: str
    num_data: int
    data: str = "synthetic"
    seeds: int = 3
    limit: int = 60
    full: bool = False
    samples: int | None = None  # from which tr H^2 is estimated; None leaves it to the rule


ROWS = {
    "digits-mlp": Row("mlp", 1797, "digits", 20, 40),
    "digits-mlp-from-300": Row("mlp", 1797, "digits", 8, 50, samples=300),
    "digits-cnn": Row("cnn", 1797, "digits", 10, 110),
    "digits-cnn-from-300": Row("cnn", 1797, "digits", 4, 80, samples=300),
    "mlp-6000": Row("mlp", 6_000, limit=20),
    "mlp-60000": Row("mlp", 60_000, limit=40),
    "mlp-600000": Row("mlp", 600_000, seeds=2, limit=90),
    "cnn-6000": Row("cnn", 6_000, seeds=2, limit=80),
    "cnn-60000": Row("cnn", 60_000, seeds=2, limit=1200, full=True),
    "cnn-600000": Row("cnn", 600_000, seeds=2, limit=1200, full=True),
}


def synthetic(num_data: int) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 14, 14) that are smooth templates of ten classes, shifted, scaled and noisy; and classes.

    The first samples are the same for every N.
    """
    templates = np.random.default_rng(0).standard_normal((CLASSES, SIDE // 2, SIDE // 2)).repeat(2, 1).repeat(2, 2)
    x = np.empty((num_data, 1, SIDE, SIDE), np.float32)
    y = np.empty(num_data, np.int64)
    for i, at in enumerate(range(0, num_data, CHUNK)):
        rng, count = np.random.default_rng([1, i]), min(CHUNK, num_data - at)
        classes, shifts = rng.integers(CLASSES, size=CHUNK), rng.integers(-1, 2, (CHUNK, 2))
        scales = rng.uniform(0.5, 1.5, (CHUNK, 1, 1)).astype(np.float32)
        clean = np.stack([np.roll(templates, (a, b), (1, 2)) for a in (-1, 0, 1) for b in (-1, 0, 1)])
        chosen = clean[3 * (shifts[:, 0] + 1) + shifts[:, 1] + 1, classes].astype(np.float32) * scales
        noise = NOISE * rng.standard_normal((CHUNK, SIDE, SIDE), np.float32)
        x[at : at + count, 0], y[at : at + count] = (chosen + noise)[:count], classes[:count]
    return torch.from_numpy(x), torch.from_numpy(y)


def point_of(row: Row) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the trained network of a row and all of its data."""
    x, y = images(row.num_data) if row.data == "digits" else synthetic(row.num_data)
    side = x.shape[-1]
    torch.manual_seed(0)
    if row.net == "mlp":
        x, model = x.flatten(1), relu_net((side * side, 32, 32, CLASSES), 0)
    else:
        model = cnn()
        model[-1] = nn.Linear(8 * (-(-side // 4)) ** 2, CLASSES)  # two strides of 2, rounded up
    train(model, x[:TRAINED_ON], y[:TRAINED_ON], STEPS)
    return model, x, y


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def one_row(row: Row, seeds: int) -> dict[str, Any]:
    """Return the gradient's seconds, the reference or None, and all estimates with their seconds by tolerance."""
    model, x, y = point_of(row)
    loss = Loss(model, x, y, nn.CrossEntropyLoss())
    loss.gradient()
    gradient = median(seconds(loss.gradient) for _ in range(REPEATS))

    def problem() -> sc.Problem:
        return sc.Problem(model, (x, y), "cross_entropy")

    found: dict[str, list[dict[str, float]]] = {str(rtol): [] for rtol in TOLERANCES}
    for seed in range(seeds):
        for rtol in TOLERANCES:
            strategy = Curvature(rtol, BUDGET, route="sampled", from_samples=row.samples).strategy
            began = time.perf_counter()
            K = scalar_curvature(Evaluation(problem(), seed), strategy).K
            found[str(rtol)].append(facts_of(K) | {"seconds": time.perf_counter() - began})
    truth = truth_of(problem().astype(torch.float64)).K if row.data == "digits" else None
    P = sum(p.numel() for p in model.parameters())
    return {"P": P, "gradient": gradient, "truth": truth, "found": found, "threads": torch.get_num_threads()}


def facts_of(K: Estimate) -> dict[str, Any]:
    names = ("value", "lower", "upper", "num_matvecs", "method")
    return {name: getattr(K, name) for name in names} | {"status": str(K.status)}


def held(found: list[dict[str, Any]], truth: float | None) -> str:
    """Return how many intervals hold the reference; without one, how many pairs of intervals overlap."""
    if truth is not None:
        return f"{sum(one['lower'] <= truth <= one['upper'] for one in found)}/{len(found)}"
    pairs = list(combinations(found, 2))
    return f"{sum(a['lower'] <= b['upper'] and b['lower'] <= a['upper'] for a, b in pairs)}/{len(pairs)} pairs"


def lines_of(name: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of one row, one for each tolerance."""
    row, lines = ROWS[name], []
    for rtol, found in result["found"].items():
        values = np.array([one["value"] for one in found])
        centre = result["truth"] or values.mean()
        spent = median(one["seconds"] for one in found)
        lines.append(
            {
                "row": name,
                "N": f"{row.num_data:,}",
                "P": f"{result['P']:,}",
                "to": f"{float(rtol):.0%}",
                "seconds": f"{spent:.3g}",
                "gradients": f"{spent / result['gradient']:.3g}",
                "products": f"{median(one['num_matvecs'] for one in found):.0f}",
                "reached": f"{sum(one['status'] != 'budget' for one in found)}/{len(found)}",
                "error": f"{np.sqrt(np.mean((values / centre - 1) ** 2)):.2g}",
                "held": held(found, result["truth"]),
                "method": found[0]["method"],
            }
        )
    return lines


def in_a_process(name: str, seeds: int, limit: float) -> dict[str, Any] | None:
    """Return the result of a row, None where it took longer than its limit; raises RuntimeError where it failed."""
    words = [sys.executable, "-m", "benchmarks.population", "--row", name, str(seeds)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise RuntimeError(f"row {name} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def text_of(results: dict[str, dict[str, Any] | None], limits: dict[str, float]) -> str:
    """Return the table of the rows that ended, and one line for each that did not."""
    done = {name: result for name, result in results.items() if result is not None}
    table = pd.DataFrame([line for name, result in done.items() for line in lines_of(name, result)])
    threads = next(iter(done.values()))["threads"] if done else "?"
    lines = [f"K of the loss over all data, cross entropy, float32, {threads} thread(s)"]
    lines += [table.to_string(index=False)] if done else []
    lines += [f"{name}: not within {limits[name]:.0f} s" for name, result in results.items() if result is None]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="ten times the seeds and the time, and the largest row")
    parser.add_argument("--rows", help="the rows to run, separated by commas")
    parser.add_argument("--row", nargs="+", metavar=("NAME", "SEEDS"), help="one row in this process, as JSON")
    asked = parser.parse_args()
    if asked.row:
        row = ROWS[asked.row[0]]
        print(json.dumps(one_row(row, int(asked.row[1]) if len(asked.row) > 1 else row.seeds)))
        return
    names = asked.rows.split(",") if asked.rows else [name for name, row in ROWS.items() if asked.full or not row.full]
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    more = FULL_SEEDS if asked.full else 1
    limits = {name: float(more * ROWS[name].limit) for name in names}
    results: dict[str, dict[str, Any] | None] = {}
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        results[name] = in_a_process(name, more * ROWS[name].seeds, limits[name])
        if not asked.rows:  # after each row, so that none is lost; a choice of rows does not replace the table
            (RESULTS / "population.txt").write_text(text_of(results, limits))
        print(f"{name}: {'done' if results[name] else 'over its limit'}", file=sys.stderr, flush=True)
    print(text_of(results, limits))


if __name__ == "__main__":
    main()
