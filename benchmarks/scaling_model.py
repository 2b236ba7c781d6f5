"""A sweep of 10^6 checkpoints on 10, 100 and 1,000 workers, on paper: costs measured here, the rest simulated.

One driver stores results one after the other and merges parts as `compact_if_many` does; workers compute, die at a
rate, and start again. Measured in this run: a part built and synced, its merge into an index (a line through two
sizes), an actor call that brings an outcome home, the start of a worker. Assumed: seconds a checkpoint, deaths.
"""

import heapq
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.store import bulk, outcome
from scalecurv.engine.session import ray_session
from scalecurv.store.compact import MANY, SHARE, compact
from scalecurv.store.reader import INDEX
from scalecurv.store.writer import prepare_store, write_part

CHECKPOINTS = 1_000_000
WORKERS = (10, 100, 1000)
SECONDS = (2.0, 20.0, 200.0)  # a checkpoint
DEATHS = 0.01  # a worker and hour
PARTS = 100


@dataclass(frozen=True)
class Costs:
    """Seconds: of the driver for each checkpoint and in each merge, and of a worker's start."""

    part: float
    call: float
    merge_part: float
    merge_indexed: float
    start: float
    part_share: float  # bytes of a part over bytes of a checkpoint in the index


def measured() -> Costs:
    rng = np.random.default_rng(0)
    new = [replace(outcome(10**7 + i, rng), created=2e9 + i) for i in range(PARTS)]
    merges = {}
    with tempfile.TemporaryDirectory() as name:
        for indexed in (200, 4000):
            store = Path(name) / str(indexed)
            prepare_store(store)
            (store / INDEX).write_bytes(bulk(indexed))
            size = (store / INDEX).stat().st_size / indexed
            began = time.perf_counter()
            parts = [write_part(store, one) for one in new]
            part = (time.perf_counter() - began) / PARTS
            share = parts[0].stat().st_size / size
            began = time.perf_counter()
            compact(store)
            merges[indexed] = time.perf_counter() - began
    slope = max(merges[4000] - merges[200], 0.0) / 3800
    call, start = ray_costs(new[0])
    return Costs(part, call, max(merges[200] - 200 * slope, 0.0) / PARTS, slope, start, share)


class Echo:
    """An actor that has imported what a worker imports, and answers with an outcome."""

    def __init__(self, answer: Any):
        import scalecurv.engine.worker  # noqa: F401

        self._answer = answer

    def run(self, path: str) -> Any:
        return self._answer


def ray_costs(answer: Any) -> tuple[float, float]:
    """Seconds of a call that brings an outcome home, and of the start of a worker."""
    with ray_session(None, num_cpus=2, num_gpus=0) as ray:
        starts = []
        for _ in range(3):
            began = time.perf_counter()
            actor = ray.remote(Echo).remote(answer)
            ray.get(actor.run.remote("x"))
            starts.append(time.perf_counter() - began)
        began = time.perf_counter()
        for i in range(500):
            ray.get(actor.run.remote(str(i)))
        return (time.perf_counter() - began) / 500, min(starts)


def simulate(costs: Costs, workers: int, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
    """Hours of the whole sweep, and the share of them in which the driver is busy."""
    durations = rng.lognormal(np.log(seconds) - 0.02, 0.2, CHECKPOINTS)  # a fifth up and down
    deaths = rng.random(CHECKPOINTS) < DEATHS * seconds / 3600
    ends = [(costs.start + durations[i], i) for i in range(min(workers, CHECKPOINTS))]
    heapq.heapify(ends)
    given, free, busy, loose, indexed = len(ends), 0.0, 0.0, 0, 0
    while ends:
        end, i = heapq.heappop(ends)
        if deaths[i]:  # halfway on average; its worker starts again, and does it from the beginning
            deaths[i] = False
            heapq.heappush(ends, (end + costs.start + durations[i] / 2, i))
            continue
        began = max(end, free)  # the worker waits for the driver, which is its turn at a time
        loose += 1
        work = costs.part + costs.call
        if loose > MANY and SHARE * loose * costs.part_share >= indexed:
            work += loose * costs.merge_part + (indexed + loose) * costs.merge_indexed
            indexed, loose = indexed + loose, 0
        free, busy = began + work, busy + work
        if given < CHECKPOINTS:
            heapq.heappush(ends, (began + costs.call + durations[given], given))
            given += 1
    return free / 3600, busy / free


def main() -> None:
    costs, rng = measured(), np.random.default_rng(0)
    lines = [
        f"measured: part {1e3 * costs.part:.1f} ms, call {1e3 * costs.call:.1f} ms, worker's start {costs.start:.1f} s",
        f"measured: merge {1e3 * costs.merge_part:.1f} ms a part, {1e6 * costs.merge_indexed:.0f} us for each indexed",
        f"assumed: {DEATHS:g} deaths a worker and hour, {CHECKPOINTS:g} checkpoints of 50 estimates",
        "",
        "seconds a checkpoint  workers  hours  of the ideal  driver busy",
    ]
    for seconds in SECONDS:
        for workers in WORKERS:
            hours, busy = simulate(costs, workers, seconds, rng)
            ideal = CHECKPOINTS * seconds / workers / 3600
            lines.append(f"{seconds:20g}  {workers:7d}  {hours:5.3g}  {ideal / hours:12.0%}  {busy:11.0%}")
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (Path(__file__).parent / "results" / "scaling_model.txt").write_text(text)


if __name__ == "__main__":
    main()
