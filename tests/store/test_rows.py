"""An outcome as rows: every field in its column, and text that HDF5 can hold."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scalecurv.quantities import Quantity
from scalecurv.record import Asked, FileStamp, Record
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import TABLES
from tests.outcomes import PROVENANCE, TASK, exactly, failure, outcome, record

ESTIMATE = Estimate(1.5, 0.1, 1.2, 1.9, 0.95, 30, 40, "hutchinson", Status.BUDGET)
FULL = outcome(
    "/runs/a/step_10.pt",
    Record(
        key="k1",
        measure="moments",
        version=3,
        estimates={("trace", "fc1"): ESTIMATE},
        arrays={"ritz": np.array([1, 2])},
        seconds=2.5,
        asked=Asked(0.02, 500, 1 << 20),
    ),
    stamp=FileStamp("/runs/a/step_10.pt", 1000, 5, 7),
    fingerprint="f1",
    step=10,
    epoch=0.5,
    own_dtype="float64",
    seed=3,
    attempt=2,
    quantities=((Quantity("mine", "what I count", integer=True, unit="loss"), "pkg.mod:Mine"),),
)
ASKED = {"rtol": 0.02, "max_matvecs": 500, "memory": 1 << 20}


def only(table: str, of: Any = FULL) -> dict[str, Any]:
    rows = rows_of(of)[table].to_dict("records")
    assert len(rows) == 1
    return rows[0]


def test_every_field_in_its_column() -> None:
    shared = {"fingerprint": "f1", "task_id": "t1", "dtype": "float32", "seed": 3, "created": 100.0}
    assert only("checkpoints") == {
        **shared,
        "path": "/runs/a/step_10.pt",
        "run": "/runs/a",
        "architecture": '{"kind": "mlp"}',
        "status": "ok",
        "error": "",
        "step": 10,
        "num_params": 42,
        "total_matvecs": 30,
        "attempt": 2,
        "epoch": 0.5,
    }
    assert only("estimates") == {
        **shared,
        "key": "k1",
        "measure": "moments",
        "quantity": "trace",
        "component": "fc1",
        "method": "hutchinson",
        "status": "budget",
        "provenance_id": only("provenance")["provenance_id"],
        "num_samples": 30,
        "num_matvecs": 40,
        "version": 3,
        "attempt": 2,
        "value": 1.5,
        "stderr": 0.1,
        "lower": 1.2,
        "upper": 1.9,
        "confidence": 0.95,
        "seconds": 2.5,
        **ASKED,
    }
    arrays = only("arrays")
    assert arrays.pop("values").tolist() == [1.0, 2.0]
    assert arrays == {**shared, "key": "k1", "measure": "moments", "version": 3, "name": "ritz", **ASKED}
    unsaid = {"split": "", "num_available": 0, "sample_seed": -1, "weight_decay": 0.0, "weights": "", "ignored": ""}
    assert only("tasks") == {"task_id": "t1", **unsaid, **TASK}
    mine = {"quantity": "mine", "meaning": "what I count", "unit": "loss", "measure": "pkg.mod:Mine"}
    assert only("quantities") == {**mine, "integer": 1, "derived": 0}
    file = {"path": "/runs/a/step_10.pt", "size": 1000, "mtime_ns": 5, "inode": 7}
    assert only("files") == {**file, "fingerprint": "f1", "dtype": "float64", "created": 100.0}


def test_provenance_is_shared_by_all_that_ran_alike() -> None:
    row = only("provenance")
    assert {name: row[name] for name in ("device", "host", "git", "threads")} == {
        "device": "cpu",
        "host": "here",
        "git": "abc",
        "threads": 2,
    }
    assert json.loads(row["config"]) == {"seed": 0}
    assert json.loads(row["versions"]) == {"torch": "2.13", "numpy": "2.4"}
    same = only("provenance", outcome("/other.pt", provenance=dict(reversed(PROVENANCE.items()))))
    assert same == row
    changed = [{**PROVENANCE, name: "x"} for name in ("device", "host", "git", "config", "torch", "more")]
    ids = {only("provenance", outcome(provenance=p))["provenance_id"] for p in (*changed, {**PROVENANCE, "threads": 3})}
    assert len(ids | {row["provenance_id"]}) == 8


def test_what_is_not_known_rests_as_minus_one_and_nan() -> None:
    row = only("checkpoints", outcome("/runs/best.pt"))
    assert row["step"] == -1
    assert math.isnan(row["epoch"])


def test_a_failure_leaves_no_numbers_no_task_and_no_known_file() -> None:
    tables = rows_of(failure("/runs/a.pt", "broken", stamp=FileStamp("/runs/a.pt", 1, 2, 3)))
    lengths = {name: len(frame) for name, frame in tables.items()}
    assert {name: length for name, length in lengths.items() if length} == {"checkpoints": 1, "provenance": 1}
    assert tables["checkpoints"].loc[0, ["status", "error", "fingerprint"]].tolist() == ["failed", "broken", ""]
    assert len(rows_of(outcome(stamp=None))["files"]) == 0


def test_several_records_in_order() -> None:
    tables = rows_of(
        outcome("/a.pt", record("k1", exactly(loss=1, trace=2), a=[1]), record("k2", exactly(rank=3), b=[]))
    )
    named = tables["estimates"][["key", "quantity", "value"]]
    assert named.values.tolist() == [["k1", "loss", 1.0], ["k1", "trace", 2.0], ["k2", "rank", 3.0]]
    assert tables["arrays"]["name"].tolist() == ["a", "b"]
    assert {name: list(frame) for name, frame in tables.items()} == {
        n: [c.name for c in cs] for n, cs in TABLES.items()
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [("naïve λ ☃ 🙂", "naïve λ ☃ 🙂"), ("a\0b", "a\\0b"), ("bad\udcffname", "bad\\udcffname"), ("\ud800", "\\ud800")],
)
def test_text_that_hdf5_cannot_hold_is_spelt_out(text: str, kept: str) -> None:
    """Names out of damaged files may hold NUL, paths may hold bytes that are no UTF-8."""
    row = only("checkpoints", failure(f"/runs/{text}.pt", f"{text} is broken"))
    assert (row["path"], row["error"]) == (f"/runs/{kept}.pt", f"{kept} is broken")


def test_what_is_said_of_a_task_is_kept() -> None:
    drawn = {"split": "test", "num_available": 900, "sample_seed": 7, "weight_decay": 5e-4}
    given = {**drawn, "weights": "ema", "ignored": "^head"}
    (row,) = rows_of(replace(outcome("/runs/a.pt"), task={**TASK, **given}))["tasks"].to_dict("records")
    assert row == {"task_id": "t1", **TASK, **given}
