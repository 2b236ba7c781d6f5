"""A store of 1e5 and of 1e6 estimates: what appending, merging, resuming, asking and keeping them costs.

The bulk is made as one index; 200 parts are then appended as a sweep appends them (on disk before it goes on), read
loose, and merged. Floors in the same run: the bytes of a part written and synced as they are, the bytes of the index
read and hashed.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from scalecurv.quantities import QUANTITIES
from scalecurv.record import FileStamp, Outcome, Record, digest
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.compact import compact
from scalecurv.store.frames import concatenated
from scalecurv.store.image import encode
from scalecurv.store.reader import INDEX, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.unique import UNIQUE
from scalecurv.store.writer import prepare_store, write_part

QUANTITY = {quantity.name: quantity for quantity in QUANTITIES[:50]}
NAMES = list(QUANTITY)
PER_KEY = 10  # estimates of one measure
POINTS = 50  # Ritz values of one checkpoint, and as many weights
PARTS = 200
BASE = 200  # checkpoints made one by one: the bulk is these over and over, under other names
GOAL = 1.0  # seconds, of a query and of the key set at 1e6
QUERIES = {
    "SQL over results": "select step, trace, trace_lower, trace_upper from results where status = 'ok' order by step",
    "SQL over estimates": "select quantity, count(*), avg(value) from estimates group by quantity order by quantity",
}


def outcome(number: int, rng: np.random.Generator) -> Outcome:
    """A checkpoint as a sweep stores it: 50 estimates of 5 measures, Ritz values of one."""
    path = f"/runs/a/step_{number}.pt"
    fingerprint = hashlib.sha256(path.encode()).hexdigest()
    records = []
    for first in range(0, len(NAMES), PER_KEY):
        found = {(name, ""): estimate(rng, QUANTITY[name].integer) for name in NAMES[first : first + PER_KEY]}
        arrays = {"ritz_nodes": rng.standard_normal(POINTS), "ritz_weights": rng.random(POINTS)} if first == 0 else {}
        records.append(Record(digest([fingerprint, first]), f"measure_{first}", found, arrays, 0.5))
    return Outcome(
        path,
        "ok",
        run="/runs/a",
        stamp=FileStamp(path, 1_000_000, 10**18 + number, number),
        fingerprint=fingerprint,
        step=number,
        num_params=1_000_000,
        architecture='{"kind": "mlp", "widths": [784, 512, 512, 10]}',
        dtype="float32",
        own_dtype="float32",
        task_id="0123456789abcdef",
        task={
            **dict.fromkeys(("data_path", "data_fingerprint", "model", "activation"), "x"),
            "loss": "cross_entropy",
            "reduction": "mean",
            "num_data": 60_000,
            "num_outputs": 10,
        },
        total_matvecs=500,
        records=tuple(records),
        provenance={"device": "cpu", "host": "node", "git": "", "threads": 1},
        created=1.7e9 + number,
    )


def estimate(rng: np.random.Generator, integer: bool) -> Estimate:
    if integer:
        return Estimate.exact(int(rng.integers(10_000)), "modular")
    value, half = rng.standard_normal(), abs(rng.standard_normal()) / 100
    return Estimate(value, half / 2, value - half, value + half, 0.95, 30, 30, "deflated hutchinson", Status.CONVERGED)


def bulk(checkpoints: int) -> bytes:
    """The index of that many checkpoints, tables put together directly."""
    rng = np.random.default_rng(0)
    tables = [rows_of(outcome(number, rng)) for number in range(BASE)]
    base = {name: concatenated([table[name] for table in tables], name) for name in tables[0]}
    whole = {}
    for name, frame in base.items():
        times = 1 if name in ("tasks", "provenance") else checkpoints // BASE
        whole[name] = concatenated([renamed(frame, i, rng) for i in range(times)], name)
    whole |= {name: UNIQUE[name](whole[name]) for name in ("tasks", "provenance")}
    return encode(whole)


def renamed(frame: pd.DataFrame, i: int, rng: np.random.Generator) -> pd.DataFrame:
    """The rows as of other checkpoints: paths, fingerprints and keys of their own, and fresh values."""
    copy = frame.copy()
    for column in {"path", "fingerprint", "key"} & set(frame):
        mine = frame[column].cat.remove_unused_categories()
        names = [f"{name}~{i}" if column == "path" else digest([name, i]) for name in mine.cat.categories]
        copy[column] = mine.cat.rename_categories(pd.Index(names, dtype=object))
    if "value" in frame:
        known = frame["quantity"].astype(object).map(lambda name: QUANTITY[name].integer).to_numpy(dtype=bool)
        for column in ("value", "lower", "upper", "stderr"):
            copy[column] = np.where(known, frame[column], rng.standard_normal(len(frame)))
    return copy.assign(step=frame["step"] + BASE * i) if "step" in frame else copy


def timed(work: Callable[[], object], repeats: int = 3) -> float:
    """Seconds, the best of a few."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def measure(estimates: int, folder: Path) -> dict[str, float]:
    store = folder / f"store_{estimates}"
    prepare_store(store)
    (store / INDEX).write_bytes(bulk(estimates // len(NAMES)))
    index = store / INDEX
    found: dict[str, float] = {
        "index, MB": index.stat().st_size / 1e6,
        "bytes an estimate": index.stat().st_size / estimates,
    }
    found["read and hash its bytes, s"] = timed(lambda: hashlib.sha256(index.read_bytes()).digest())
    found["key set, s"] = timed(lambda: read_store(store).stored.keys())
    for name, query in QUERIES.items():
        found[f"open, {name}, s"] = timed(lambda query=query: open_store(store).sql(query))
    command = [sys.executable, "-m", "scalecurv", "query", str(store), f"{QUERIES['SQL over results']} limit 5"]
    found["whole query command, s"] = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    rng = np.random.default_rng(1)
    new = [replace(outcome(10**7 + i, rng), created=2e9 + i) for i in range(PARTS)]
    began = time.perf_counter()
    parts = [write_part(store, one) for one in new]
    found["append a part, ms"] = (time.perf_counter() - began) / PARTS * 1e3
    content, raw = parts[0].read_bytes(), folder / "raw"
    found["the same bytes synced, ms"] = timed(lambda: synced(raw, content), 20) * 1e3
    found[f"key set with {PARTS} loose parts, s"] = timed(lambda: read_store(store).stored.keys(), 1)
    found[f"merge {PARTS} parts, s"] = timed(lambda: compact(store), 1)
    assert len(read_store(store).tables["estimates"]) == estimates + PARTS * len(NAMES)
    shutil.rmtree(store)
    return found


def synced(path: Path, content: bytes) -> None:
    import os

    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory() as folder:
        columns = {f"{size:g}": measure(size, Path(folder)) for size in sizes}
    table = pd.DataFrame(columns).to_string(float_format=lambda x: f"{x:.3g}")
    largest = columns[f"{max(sizes):g}"]
    slow = [n for n, v in largest.items() if (n == "key set, s" or n.startswith("open, ")) and v > GOAL]
    lines = [
        f"A store of {', '.join(f'{size:g}' for size in sizes)} estimates ({len(NAMES)} a checkpoint)",
        "",
        table,
        "",
    ]
    verdict = f"missed by {', '.join(slow)}" if slow else "met"
    lines.append(f"goal: key set and queries within {GOAL:g} s at {max(sizes):g}: {verdict}")
    print("\n".join(lines))
    if max(sizes) >= 1_000_000:
        (Path(__file__).parent / "results" / "store.txt").write_text("\n".join(lines) + "\n")
    sys.exit(bool(slow))


if __name__ == "__main__":
    main()
