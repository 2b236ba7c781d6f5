"""A store with something of everything that a report shows, made by hand: two runs, and names that are no markup."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalecurv.record import Outcome, Record
from scalecurv.results.query import Store, open_store
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.frames import frame_of
from scalecurv.store.image import encode
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from scalecurv.store.reader import INDEX
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import TABLES
from scalecurv.store.writer import prepare_store
from tests.outcomes import exactly, failure, outcome, sampled, store_of

EVIL = "<script>alert(1)</script>"
STEPS = (0, 1, 2, 5, 10, 20, 50, 100)
RUNS = {"/runs/lr0.1": {"lr": 0.1, "optimizer": "sgd"}, "/runs/lr0.2 <b>$x": {"lr": 0.2, "optimizer": EVIL}}
PARAMETERS = 100
BIG = 2**62 + 1  # no float64


def numbers(step: int, rng: np.random.Generator) -> dict[tuple[str, str], Estimate]:
    """Return numbers of every status that a checkpoint may have; digits are those of random floats."""
    trace, curvature, rank = 30 + 10 * rng.random(), rng.normal() * 10 ** (step / 25), 40 + int(rng.integers(20))
    ends = sampled(curvature, 0.1 * abs(curvature))
    lowest = rank + 2
    return {
        **exactly(loss=float(rng.random()), grad_norm=float(rng.random()), beta=0.5),
        ("trace", ""): sampled(trace, rng.random(), Status.BUDGET if step == 5 else Status.CONVERGED),
        ("lambda_max", ""): Estimate.enclosed(trace / 3, trace / 3, trace / 3 + 0.01, "lanczos", Status.CERTIFIED),
        ("lambda_min", ""): Estimate.not_applicable("no run of Lanczos"),
        ("scalar_curvature", ""): ends,
        ("curvature_lower", ""): Estimate.exact(ends.lower - abs(curvature), "bracket"),
        ("curvature_upper", ""): Estimate.exact(ends.upper + abs(curvature), "bracket"),
        ("rank", ""): Estimate.enclosed(rank, rank, lowest, "modular", Status.LOWER_BOUND),
        **exactly(
            account_dead=5, account_rescaling=6, account_data_limited=PARAMETERS - rank - 12, account_unexplained=1
        ),
        ("chain_1", ""): Estimate.exact(1.0, "T (T - lambda): holds"),
        **{("trace", layer): sampled(rng.random(), 0.01) for layer in ("0.weight", f"{EVIL}.weight")},
        ("trace_h2", ""): Estimate.failed("overflow") if step == 20 else Estimate.exact(trace**2, "dense"),
    }


def checkpoint(path: str, step: int, rng: np.random.Generator, spectrum: bool = True) -> Outcome:
    """Return one checkpoint with a spectrum of two starts, of five nodes each."""
    nodes = np.sort(rng.normal(size=(2, 5)) * 3, axis=1)
    arrays = {"ritz_nodes": nodes.ravel(), "ritz_weights": np.full(10, 0.1), "ritz_starts": np.repeat([0.0, 1.0], 5)}
    density = (Record(f"s{path}", "spectrum", {}, arrays, 0.25),) if spectrum else ()
    found = Record(f"m{path}", "moments", numbers(step, rng), {}, 0.5)
    return outcome(path, found, *density, step=step, num_params=PARAMETERS)


def shown_store(folder: Path, spectrum: bool = True) -> Store:
    """Return the store: 8 checkpoints of each run, one of them named as markup, and one more that failed."""
    rng = np.random.default_rng(0)
    outcomes = [
        checkpoint(f"{run}/{EVIL.replace('/', '_') if step == 50 else f'step_{step}'}.pt", step, rng, spectrum)
        for run in RUNS
        for step in STEPS
    ]
    outcomes.append(failure(f"/runs/lr0.1/{EVIL.replace('/', '_')}_broken.pt", "the loss is inf & <i>so</i> is g"))
    store_of(folder, *outcomes)
    write_labels(folder, LabelChanges(runs=tuple(run_row(run, found, 1.0) for run, found in RUNS.items())))
    return open_store(folder)


def long_store(folder: Path, count: int) -> Store:
    """Return a store of one run of many checkpoints, whose trace has one peak and one hole."""
    values = np.sin(np.arange(count) / 50)
    values[count // 3], values[count // 2] = 40.0, -30.0
    one = rows_of(outcome("/runs/long/step_0.pt", Record("k", "moments", {("trace", ""): sampled(1.0, 0.1)})))
    names = [str(i) for i in range(count)]
    many = {
        "checkpoints": {
            "path": [f"/runs/long/step_{i}.pt" for i in names],
            "fingerprint": names,
            "step": np.arange(count),
        },
        "estimates": {
            "key": names,
            "fingerprint": names,
            "value": values,
            "lower": values - 0.1,
            "upper": values + 0.1,
        },
    }
    tables = {name: repeated(frame, name, many[name], count) if name in many else frame for name, frame in one.items()}
    prepare_store(folder)
    (folder / INDEX).write_bytes(encode(tables))
    return open_store(folder)


def chain_store(folder: Path, count: int, violated: int) -> Store:
    """Return a store of one run of many checkpoints, whose chain of bounds holds but at one of them."""
    k, link = (Record(name, "curvature", exactly(**{name: 1.0}), {}, 0.5) for name in ("scalar_curvature", "chain_1"))
    one = rows_of(outcome("/runs/long/step_0.pt", k, link))
    names = [str(i) for i in range(count)]
    methods = ["T (T - lambda): violated" if i == violated else "T (T - lambda): holds" for i in range(count)]
    paths = [f"/runs/long/step_{i}.pt" for i in names]
    labels = {"path": paths, "fingerprint": names, "step": np.arange(count)}
    frames = [
        repeated(one["estimates"].iloc[[i]], "estimates", {"key": names, "fingerprint": names, **more}, count)
        for i, more in enumerate(({}, {"method": methods}))
    ]
    checkpoints = repeated(one["checkpoints"], "checkpoints", labels, count)
    estimates = {name: [one for frame in frames for one in frame[name]] for name in frames[0]}
    prepare_store(folder)
    tables = {**one, "checkpoints": checkpoints, "estimates": frame_of(estimates, TABLES["estimates"])}
    (folder / INDEX).write_bytes(encode(tables))
    return open_store(folder)


def edge_store(folder: Path) -> Store:
    """Return a store of a run with an open rank, a layer below 0, and whole numbers that float64 does not hold."""
    estimates = {
        ("rank", ""): Estimate.enclosed(31.0, 30.0, np.inf, "modular", Status.LOWER_BOUND),
        **exactly(loss=1e-300, grad_norm=1e300, account_dead=1, account_rescaling=2, account_data_limited=3),
        ("trace", "0"): sampled(-2.0, 0.1),
        ("trace", "2"): sampled(3.0, 0.1),
    }
    whole = {**estimates, **exactly(account_unexplained=4)}
    outcomes = [
        outcome(f"/runs/a/step_{step}.pt", Record(f"m{step}", "rank", found, {}, 0.5), seed=BIG)
        for step, found in ((0, estimates), (1, whole))
    ]
    store_of(folder, *outcomes)
    write_labels(folder, LabelChanges(runs=(run_row("/runs/a", {"samples": BIG}, 1.0),)))
    return open_store(folder)


def repeated(row: pd.DataFrame, table: str, columns: dict[str, Any], count: int) -> pd.DataFrame:
    """Return one row of a table many times, with columns of its own: one file in place of a part for each."""
    data = {name: [row[name].iloc[0]] * count for name in row} | columns
    return frame_of(data, TABLES[table])
