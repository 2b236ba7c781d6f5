"""A training run in miniature, written in milliseconds: checkpoints of a 6-5-3 MLP, data.npz, problem.json."""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from scalecurv.analysis import Identity, Request
from scalecurv.engine.resources import Resources
from scalecurv.measures import measures_named
from scalecurv.record import Outcome, Record, Stored
from scalecurv.statistics.estimate import Estimate
from scalecurv.store.decode import decode
from scalecurv.store.reader import read_store
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.work import Sweep, find_work

WIDTHS = (6, 5, 3)
NUM_DATA = 20
VOLATILE = ["seconds", "created", "attempt", "provenance_id"]  # what may differ between two runs of the same work


def write_run(folder: Path, steps: Iterable[int] = range(3), **problem: str) -> Path:
    """Write a directory that `scalecurv analyze` needs no option for; `problem` overrides its problem.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        write_checkpoint(folder / f"step_{step}.pt", seed=step, step=step)
    write_data(folder / "data.npz")
    spec = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu", **problem}
    (folder / "problem.json").write_text(json.dumps(spec))
    return folder


def write_checkpoint(path: Path, seed: int = 0, widths: tuple[int, ...] = WIDTHS, **counters: Any) -> Path:
    rng = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for i, (before, after) in enumerate(pairwise(widths)):
        tensors[f"{2 * i}.weight"] = torch.randn(after, before, generator=rng) / before**0.5
        tensors[f"{2 * i}.bias"] = torch.randn(after, generator=rng) / 10
    torch.save({"model": tensors, **counters}, path)
    return path


def write_data(path: Path, num_inputs: int = WIDTHS[0], num_targets: int = NUM_DATA, num_classes: int = 3) -> Path:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((NUM_DATA, num_inputs)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(num_targets) % num_classes)
    return path


def write_truncated(path: Path) -> Path:
    """Write a checkpoint that is cut in the middle, as by a full disk."""
    content = write_checkpoint(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


class _Payload:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def write_malicious(path: Path, marker: Path) -> Path:
    """Write a pickle that makes the directory `marker` when it is loaded without care."""
    torch.save({"model": _Payload(marker)}, path)
    return path


def write_not_finite(path: Path) -> Path:
    content = torch.load(write_checkpoint(path), weights_only=True)
    content["model"]["0.weight"][0, :2] = float("nan")
    torch.save(content, path)
    return path


def gradient_sweep(folder: Path, steps: Iterable[int] = range(3)) -> Sweep:
    """Return the sweep over `folder`/run that stores gradients in `folder`/store, in the serial engine."""
    run, request = write_run(folder / "run", steps), Request(measures_named(("gradient",)))
    return Sweep((run,), folder / "store", {}, request, resources=Resources("serial", threads=1))


def carry_out(sweep: Sweep) -> list[Outcome]:
    """Do all work of a sweep; return the outcomes in the order in which they came."""
    outcomes: list[Outcome] = []
    execute(sweep, find_work(sweep), outcomes.append)
    return outcomes


def computed(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the names of the measures that were computed, over all checkpoints."""
    return [record.measure for outcome in outcomes for record in outcome.records]


def rows_of(store: Path) -> pd.DataFrame:
    """Return every number of estimates and arrays, in order, without the columns that may differ between two runs."""
    tables = read_store(store).tables
    arrays = tables["arrays"].rename(columns={"name": "quantity"})
    arrays["values"] = arrays["values"].map(lambda values: values.tobytes())
    rows = pd.concat([tables["estimates"], arrays]).drop(columns=VOLATILE)
    return rows.sort_values(["key", "quantity"], ignore_index=True)


def checkpoints_of(store: Path) -> pd.DataFrame:
    rows = read_store(store).tables["checkpoints"].drop(columns=["created", "attempt"])
    return rows.sort_values("path", ignore_index=True)


def assert_same_store(store: Path, reference: Path) -> None:
    """Assert that both stores hold the same rows, bit by bit."""
    for table in (rows_of, checkpoints_of):
        pd.testing.assert_frame_equal(plain(table(store)), plain(table(reference)), check_exact=True)
    assert len(rows_of(reference)) > 0


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with texts in place of categories, whose list holds all texts of a file, provenance too."""
    return rows.astype({name: object for name, kind in rows.dtypes.items() if isinstance(kind, pd.CategoricalDtype)})


def stored_rows(store: Path, table: str = "estimates") -> pd.DataFrame:
    """Return the rows of every part as stored, repeated rows included."""
    return pd.concat([decode(part)[table] for part in sorted((store / "parts").glob("*.h5"))], ignore_index=True)


PRODUCTS = 7  # of each measure that is found at once


def found_at_once(
    problem: object, request: Request, identity: Identity, known: Mapping[str, Stored], *_: object
) -> tuple[tuple[Record, ...], int]:
    """Find a loss of 1 by every measure, in place of `records_of` where only the store is looked at."""
    missing = request.missing(identity, known)
    records = (Record(key, m.name, {("loss", ""): Estimate.exact(1, "")}, asked=m.asked) for key, m in missing.items())
    return tuple(records), PRODUCTS * len(missing)
