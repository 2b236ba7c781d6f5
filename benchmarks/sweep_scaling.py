"""Two workers against one, and Ray against none: 64 checkpoints of 2 s or more, one thread a worker, start-up apart.

The clock runs from the moment when all workers are ready until the last result is stored. The peers do the same paths
without Ray: one process, and two that share them out beforehand. Repeats alternate, so that a slow minute hits all
alike. The driver and Ray's own processes live on the same cores as the workers.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.nets import relu_net
from scalecurv.analysis import Request
from scalecurv.engine.pool import Pool
from scalecurv.engine.session import ray_session
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.measures import measures_named
from scalecurv.store.writer import prepare_store, write_part
from scalecurv.sweeps.work import Sweep, find_work
from tests.digits import digits

WIDTHS, NUM_DATA = (64, 48, 48, 10), 1797
# the generic route to a tolerance that is never met: every checkpoint takes the same number of products
OPTIONS = {"route": "generic", "rtol": 1e-12, "max_matvecs": 700}
GOAL = 0.9


class ReadyPool(Pool):
    """A pool that gives out no work before all workers are ready, and notes when that was."""

    began = 0.0

    def _launch(self, queue: Any) -> None:
        if not self.began:
            if len(self._idle) < self._spec.most:
                return
            self.began = time.perf_counter()
        super()._launch(queue)


def write_run(folder: Path, count: int) -> Worker:
    """`count` checkpoints of one net in training, and the worker that analyses them."""
    x, y = digits(NUM_DATA)
    np.savez(folder / "data.npz", x=x.astype(np.float32), y=y)
    for step in range(count):
        torch.save(relu_net(WIDTHS, step).state_dict(), folder / f"step_{step}.pt")
    given = {"data": folder / "data.npz", "loss": "cross_entropy", "activation": "relu"}
    request = Request(measures_named(("moments",), **OPTIONS))
    work = find_work(Sweep((folder,), folder / "store", given, request))
    return Worker(work.task, request, Sweep((folder,), folder / "store", given, request).arithmetic)


def with_ray(ray: Any, worker: Worker, paths: Sequence[str], count: int) -> float:
    pool = ReadyPool(ray, worker, WorkerSpec(count))
    with store_beside(paths) as store:
        for item in pool.run(paths):
            assert item.result.status == "ok"
            write_part(store, item.result)
        return time.perf_counter() - pool.began


@contextmanager
def store_beside(paths: Sequence[str]) -> Iterator[Path]:
    """An empty store, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=Path(paths[0]).parents[1]) as name:
        prepare_store(Path(name))
        yield Path(name)


def bare(worker: Worker, paths: Sequence[str], count: int) -> float:
    """Analyse in processes that know nothing of each other, each with its share of the paths from the beginning."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(count + 1), context.Barrier(count + 1)
    shares = [paths[i::count] for i in range(count)]
    with store_beside(paths) as store:
        processes = [context.Process(target=alone, args=(worker, share, store, ready, go)) for share in shares]
        for process in processes:
            process.start()
        ready.wait()
        began = time.perf_counter()
        go.wait()
        for process in processes:
            process.join()
        return time.perf_counter() - began


def alone(worker: Worker, paths: Sequence[str], store: Path, ready: Any, go: Any) -> None:
    placed = worker.on("cpu", 1)
    ready.wait()
    go.wait()
    for path in paths:
        write_part(store, placed(path))
    os._exit(0)  # the clock is not for tearing torch down


def spread(values: Sequence[float]) -> str:
    return f"{np.median(values):8.3f}  [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bare-repeats", type=int, default=2, help="of the peers without Ray")
    parser.add_argument("--bare-checkpoints", type=int, default=16, help="that the peers do; their times are scaled up")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in ("ray 1", "ray 2", "bare 1", "bare 2")}
    with tempfile.TemporaryDirectory() as name, ray_session(None, num_cpus=2, num_gpus=0) as ray:
        folder = Path(name) / "run"
        folder.mkdir()
        worker = write_run(folder, asked.checkpoints)
        paths = sorted(str(path) for path in folder.glob("*.pt"))
        for repeat in range(asked.repeats):
            order = (1, 2) if repeat % 2 == 0 else (2, 1)
            for count in order:
                seconds[f"ray {count}"].append(with_ray(ray, worker, paths, count))
                if repeat < asked.bare_repeats:
                    some = paths[: asked.bare_checkpoints]
                    seconds[f"bare {count}"].append(bare(worker, some, count) * len(paths) / len(some))
            print(repeat, {name: round(values[-1], 2) for name, values in seconds.items() if values}, flush=True)
    text = report(seconds, asked.checkpoints)
    print(text)
    if asked.checkpoints >= 64 and asked.repeats >= 5:
        (Path(__file__).parent / "results" / "sweep_scaling.txt").write_text(text)


def report(seconds: dict[str, list[float]], count: int) -> str:
    one, two = np.array(seconds["ray 1"]), np.array(seconds["ray 2"])
    efficiency = one / (2 * two)
    lines = [
        f"{count} checkpoints, one thread a worker, start-up apart; median [least, most] over alternated repeats",
        "",
    ]
    lines += [f"{name}: seconds a sweep        {spread(values)}" for name, values in seconds.items() if values]
    lines += [f"ray 1: seconds a checkpoint   {spread(one / count)}"]
    lines += [f"efficiency of two workers     {spread(efficiency)}   goal {GOAL}"]
    if seconds["bare 1"]:
        repeats = len(seconds["bare 1"])
        bare_one, bare_two = np.array(seconds["bare 1"]), np.array(seconds["bare 2"])
        lines += [f"that of two bare processes    {spread(bare_one / (2 * bare_two))}"]
        lines += [f"Ray, s a checkpoint (1)       {spread((one[:repeats] - bare_one) / count)}"]
        lines += [f"Ray, s a checkpoint (2)       {spread((two[:repeats] - bare_two) / count)}"]
    verdict = "met" if np.median(efficiency) >= GOAL else "missed"
    return "\n".join([*lines, "", f"goal: efficiency of {GOAL} or more: {verdict}", ""])


if __name__ == "__main__":
    main()
