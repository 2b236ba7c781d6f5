"""Sample outcomes: whatever a worker may hand to the store, made by hand."""

import pickle
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scalecurv.record import FileStamp, Outcome, Record, digest
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.frames import Tables
from scalecurv.store.writer import PARTS, prepare_store, write_part

TASK = {
    "data_path": "/data/digits.npz",
    "data_fingerprint": "d1",
    "loss": "mse",
    "reduction": "mean",
    "model": "mlp",
    "activation": "relu",
    "num_data": 200,
    "num_outputs": 10,
}
PROVENANCE = {
    "device": "cpu",
    "host": "here",
    "git": "abc",
    "threads": 2,
    "config": {"seed": 0},
    "torch": "2.13",
    "numpy": "2.4",
}
FAILED = Estimate.failed("overflow")


def sampled(value: float, halfwidth: float, status: Status = Status.CONVERGED) -> Estimate:
    """value +- halfwidth at 95 %, from 30 terms of one product each."""
    return Estimate(value, halfwidth / 2, value - halfwidth, value + halfwidth, 0.95, 30, 30, "hutchinson", status)


def exactly(**values: float) -> dict[tuple[str, str], Estimate]:
    """Exact estimates of the whole model by quantity."""
    return {(name, ""): Estimate.exact(value, "by hand") for name, value in values.items()}


def record(key: str, estimates: Mapping[tuple[str, str], Estimate], **arrays: Iterable[float]) -> Record:
    factors = {name: np.array(list(values), dtype=np.float64) for name, values in arrays.items()}
    return Record(key=key, measure="moments", version=1, estimates=estimates, arrays=factors, seconds=0.5)


def outcome(path: str = "/runs/a/step_10.pt", *records: Record, **fields: Any) -> Outcome:
    """An outcome that worked; its step and fingerprint are those of its path unless said otherwise."""
    digits = "".join(c for c in Path(path).stem if c.isdigit())
    plain = Outcome(
        path=path,
        status="ok",
        run=str(Path(path).parent),
        stamp=FileStamp(path, 1000, 5, 7),
        fingerprint=digest(path)[:8],
        step=int(digits) if digits else None,
        num_params=42,
        architecture='{"kind": "mlp"}',
        dtype="float32",
        own_dtype="float32",
        task_id="t1",
        task=TASK,
        total_matvecs=30,
        records=records,
        provenance=PROVENANCE,
        created=100.0,
    )
    return replace(plain, **fields)


def failure(path: str = "/runs/a/step_10.pt", error: str = "", **fields: Any) -> Outcome:
    """An outcome as a worker gives it that could not read the file."""
    said = {"error": error or f"{path} is no readable checkpoint", "task_id": "t1", "created": 100.0, **fields}
    return Outcome(path, "failed", run=str(Path(path).parent), **said)


def store_of(folder: Path, *outcomes: Outcome) -> Path:
    """A store in `folder`, one part an outcome; the bytes of equal outcomes are made once in a process."""
    prepare_store(folder)
    for one in outcomes:
        content = pickle.dumps(one)
        if content not in _PARTS:
            part = write_part(folder, one)
            _PARTS[content] = part.name, part.read_bytes()
            continue
        name, part_bytes = _PARTS[content]
        (folder / PARTS / f"{name.rpartition('-')[0]}-{secrets.token_hex(4)}.h5").write_bytes(part_bytes)
    return folder


_PARTS: dict[bytes, tuple[str, bytes]] = {}


def cells(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    """Tables as plain rows that compare with ==: NaN as text, arrays as lists, the order of rows kept."""

    def plain(cell: Any) -> Any:
        cell = cell.tolist() if isinstance(cell, np.ndarray | np.generic) else cell
        return [repr(item) for item in cell] if isinstance(cell, list) else repr(cell)

    return {name: [{k: plain(v) for k, v in row.items()} for row in t.to_dict("records")] for name, t in tables.items()}
