"""Claim: a 95 % interval holds 95 % of the time where it is Student's, and at least that where it is proven.

Every estimator that samples is asked through its stopping rule, with seeds 0, 1, 2, ... and never a chosen one, on
four spectra and two MLPs whose Hessians are known, and with 400 seeds on networks of five architectures at init,
trained and late (benchmarks/calibrate_nets.py). A cell outside [0.92, 0.98] (below its nominal
confidence, where every interval is proven) is marked, not asked again.

    python -m benchmarks.calibrate [SEEDS]
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.calibrate_nets import SEEDS as SEEDS_OF_NETWORKS
from benchmarks.calibrate_nets import network_lines
from scalecurv.statistics.estimate import Estimate, Status
from tests.cells import BAND, TOLERANCES, answers, cells

RESULTS = Path(__file__).parent / "results"
SEEDS = 1000


def line(cell: str, asked: str, route: str, quantity: str, found: list[Estimate], truth: float) -> dict[str, object]:
    """Return how often the intervals held the truth, and what they cost."""
    held = float(np.mean([e.lower <= truth <= e.upper for e in found]))
    proven = float(np.mean([e.status is Status.CERTIFIED or np.isnan(e.stderr) for e in found]))
    nominal = found[0].confidence
    fine = held >= BAND[0] if 0 < proven < 1 else held >= nominal if proven == 1 else BAND[0] <= held <= BAND[1]
    return {
        "cell": cell,
        "tolerance": asked,
        "route": route,
        "quantity": quantity,
        "held": held,
        "nominal": nominal,
        "proven": proven,
        "within": float(np.mean([e.status is not Status.BUDGET for e in found])),
        "products": float(np.mean([e.num_matvecs for e in found])),
        "mark": "" if fine else "OUT",
    }


def block(task: tuple[int, str, int]) -> list[dict[str, object]]:
    """All lines of one cell at one tolerance."""
    index, asked, seeds = task
    torch.set_num_threads(1)
    cell = cells()[index]
    found: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for seed in range(seeds):
        for route, quantity, estimate in answers(cell, seed, TOLERANCES[asked]):
            found[route, quantity].append(estimate)
    truth = cell.truth()
    return [line(cell.name, asked, *key, estimates, truth[key[1]]) for key, estimates in found.items()]


def calibration(seeds: int, tolerances: Iterable[str] = TOLERANCES, workers: int | None = None) -> pd.DataFrame:
    """One row for each (cell, tolerance, route, quantity)."""
    tasks = [(index, asked, seeds) for index in reversed(range(len(cells()))) for asked in tolerances]
    with ProcessPoolExecutor(workers) as pool:
        rows = [row for rows in pool.map(block, tasks) for row in rows]
        rows += network_lines(line, pool, min(seeds, SEEDS_OF_NETWORKS))
    return pd.DataFrame(rows).sort_values(["cell", "tolerance"], kind="stable", ignore_index=True)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    table = calibration(seeds)
    out = int((table["mark"] != "").sum())
    lines = table.to_string(index=False, float_format="{:.3g}".format)
    text = f"{seeds} seeds\n{lines}\n{out} line(s) out of {len(table)} are outside"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "calibrate.txt").write_text(text + "\n")
    if out:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
