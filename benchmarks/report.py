"""Claim: a default report costs about 140 gradients at N = 60,000, and a thousand or two where `rank` is most of it.

Each row is one problem in a process of its own: all default measures, in their order, at weights as PyTorch draws them.
A cost "in gradients" is in seconds of one plain forward and backward pass of the same loss over the same data. The peak
is the largest resident memory of the process while a measure ran, less what it had before the problem was made.

    python -m benchmarks.report            # a quarter of an hour on two cores, 6 GB
    python -m benchmarks.report toy        # the rows that are named
    python -m benchmarks.report --large    # P = 1e8 too: longest of all, up to 24 GB
    python -m benchmarks.report --row NAME # one of them, in this process, as JSON
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

import scalecurv as sc
from scalecurv.measures import DEFAULT, measures_named
from scalecurv.measures.peak import peak_of
from tests.digits import digits

RESULTS = Path(__file__).parent / "results"
REPEATS = 5  # plain gradients, of which the median counts
LIMIT = 1800  # seconds a row
CLEAR = Path("/proc/self/clear_refs")  # 5 written to it lets the kernel begin a new peak


@dataclass(frozen=True)
class Row:
    """A ReLU MLP of these widths on `num_data` samples, under cross entropy; Gaussian inputs unless they are digits."""

    widths: tuple[int, ...]
    num_data: int
    inputs: str = "Gaussian"
    measures: tuple[str, ...] = DEFAULT
    large: bool = False

    @property
    def num_params(self) -> int:
        return sum((a + 1) * b for a, b in pairwise(self.widths))


ROWS = {
    "toy": Row((64, 32, 32, 10), 200, "digits"),
    "digits": Row((64, 128, 128, 10), 1797, "digits"),
    "60,000 samples": Row((784, 300, 100, 10), 60_000),
    "1e6 parameters": Row((784, 680, 680, 10), 1000),
    "1e7 parameters": Row((784, 2790, 2790, 10), 500),
    "1e6 samples on file": Row((100, 32, 10), 1_000_000, "on file", ("gradient", "extremes")),
    "1e8 parameters": Row((784, 9610, 9610, 10), 500, large=True),
}


def data_of(row: Row, folder: Path) -> tuple[Any, Any]:
    """Return inputs, in memory or as a map of a file, and classes."""
    N, width = row.num_data, row.widths[0]
    if row.inputs == "digits":
        pixels, classes = digits(N)
        return torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(classes)
    rng = np.random.default_rng(0)
    y = rng.integers(row.widths[-1], size=N)
    if row.inputs == "Gaussian":
        return torch.from_numpy(rng.standard_normal((N, width), np.float32)), torch.from_numpy(y)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (N, width))
    for at in range(0, N, 10_000):
        x[at : at + 10_000] = rng.standard_normal((len(x[at : at + 10_000]), width), np.float32)
    x.flush()
    return np.load(folder / "x.npy", mmap_mode="r"), y


def model_of(row: Row) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [layer for a, b in pairwise(row.widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def gradient_seconds(model: nn.Module, data: tuple[Any, Any]) -> float:
    """Return the seconds of a plain gradient over all data, the median of a few."""
    x, y = (torch.from_numpy(np.asarray(part)) if isinstance(part, np.ndarray) else part for part in data)

    def gradient() -> None:
        torch.autograd.grad(functional.cross_entropy(model(x), y), list(model.parameters()))

    gradient()
    return median(seconds(gradient) for _ in range(REPEATS))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def status(name: str) -> int:
    """Return the bytes of a line of /proc/self/status, such as VmRSS or VmHWM."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) << 10


def one_row(row: Row) -> dict[str, Any]:
    """Return what the row costs: seconds, products and peaks by measure."""
    with tempfile.TemporaryDirectory() as folder:
        data = data_of(row, Path(folder))
        model = model_of(row)
        plain = gradient_seconds(model, data)
        before = status("VmRSS")
        began = time.perf_counter()
        problem = sc.Problem(model, data)
        evaluation = sc.Evaluation(problem)
        found: list[dict[str, Any]] = []
        steps = 0  # of the Lanczos run, which the data decides
        for measure in measures_named(row.measures):
            CLEAR.write_text("5")
            products = evaluation.total_matvecs
            took = seconds(lambda m=measure: m.compute(evaluation))  # type: ignore[misc]
            if measure.name == "extremes":
                steps = evaluation.total_matvecs - products
            found.append(
                {
                    "measure": measure.name,
                    "seconds": took,
                    "products": evaluation.total_matvecs - products,
                    "peak": status("VmHWM") - before,
                    "left": status("VmRSS") - before,
                    "predicted": peak_of(problem, measure, steps),
                    "at_most": peak_of(problem, measure),
                }
            )
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        total = time.perf_counter() - began
    return {"gradient": plain, "seconds": total, "threads": torch.get_num_threads(), "measures": found}


def in_a_process(name: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.report", "--row", name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        raise RuntimeError(f"row {name} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table_of(results: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return a line for each row: cost of all, share of each measure, predicted and measured peak."""
    lines = []
    for name, result in results.items():
        row, measures = ROWS[name], result["measures"]
        peak, predicted = (max(m[kind] for m in measures) for kind in ("peak", "predicted"))
        shares = {m["measure"]: f"{m['seconds'] / result['seconds']:.0%}" for m in measures}
        lines.append(
            {
                "problem": "-".join(map(str, row.widths)),
                "N": f"{row.num_data:,}",
                "P": f"{row.num_params:,}",
                "gradient / s": f"{result['gradient']:.2g}",
                "report / s": f"{result['seconds']:.1f}",
                "gradients": f"{result['seconds'] / result['gradient']:.0f}",
                "products": sum(m["products"] for m in measures),
                **{measure: shares.get(measure, "") for measure in DEFAULT},
                "peak / MB": f"{peak / 1e6:.0f}",
                "predicted": f"{predicted / peak - 1:+.0%}",
            }
        )
    return pd.DataFrame(lines)


def picture(results: dict[str, dict[str, Any]]) -> None:
    """Draw the gradients of each report, divided into its measures."""
    figure = Figure(figsize=(8, 0.6 * len(results) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = list(results)
    left = np.zeros(len(names))
    for measure in DEFAULT:
        parts = [{m["measure"]: m["seconds"] for m in r["measures"]}.get(measure, 0.0) for r in results.values()]
        costs = np.array([part / r["gradient"] for part, r in zip(parts, results.values(), strict=True)])
        axes.barh(names, costs, left=left, label=measure)
        left += costs
    axes.set_xlabel("cost of the default report, in gradients of the same loss on the same data")
    axes.invert_yaxis()
    axes.legend(frameon=False, ncols=3)
    figure.savefig(RESULTS / "report.png", dpi=150)


def main(words: list[str]) -> None:
    if words[:1] == ["--row"]:
        print(json.dumps(one_row(ROWS[words[1]])))
        return
    wanted = [word for word in words if word in ROWS]
    names = wanted or [name for name, row in ROWS.items() if not row.large or "--large" in words]
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        results[name] = in_a_process(name)
        write(results)  # after each row, so that none is lost where a later one fails
    print((RESULTS / "report.txt").read_text())


def write(results: dict[str, dict[str, Any]]) -> None:
    """Write the table and the picture of these rows."""
    threads = next(iter(results.values()))["threads"]
    text = f"torch {torch.__version__}, {threads} thread(s), float32\n{table_of(results).to_string(index=False)}\n"
    (RESULTS / "report.txt").write_text(text)
    picture(results)


if __name__ == "__main__":
    main(sys.argv[1:])
