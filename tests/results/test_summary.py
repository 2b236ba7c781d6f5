"""A store at a glance, to the letter."""

import re
from itertools import pairwise
from pathlib import Path

from scalecurv.results.query import open_store
from scalecurv.results.summary import COLUMNS, summary
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.store.writer import write_part
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of

CERTIFIED = Estimate(4.0, NAN, 4.0, 4.5, 0.99, 0, 20, "lanczos", Status.CERTIFIED)
NONE = Estimate.not_applicable("not homogeneous")
RUNS = [
    outcome(
        "/runs/step_2.pt",
        record(
            "k1", {("trace", ""): sampled(12.34, 0.05), ("trace", "fc1"): sampled(9, 1), **exactly(loss=0.25, rank=5)}
        ),
        record("k2", {("lambda_max", ""): CERTIFIED, ("rank_ceiling", ""): NONE}),
    ),
    outcome("/runs/best.pt", record("k3", {("trace", ""): FAILED, **exactly(loss=1.5)}), status="partial"),
    failure("/runs/step_3.pt"),
    failure("/runs/step_4.pt", "the loss is nan at these weights"),
]


def table(lines: list[str]) -> list[list[str]]:
    """Cells of a table whose columns are flush right under their headings."""
    ends = [match.end() for match in re.finditer(r"\S+", lines[0])]
    return [[line[a:b].strip() for a, b in pairwise([0, *ends])] for line in lines]


def test_counts_tasks_numbers_and_failures(tmp_path: Path) -> None:
    store = store_of(tmp_path, *RUNS)
    text = summary(open_store(store))
    lines = text.splitlines()
    assert lines[:3] == [
        f"{store}: 4 checkpoint(s) (2 failed, 1 ok, 1 partial)",
        "task t1: mse (mean) over 200 samples of /data/digits.npz, mlp relu",
        "",
    ]
    numbers = ["12.34 +- 0.05 (95 %)", "4.0 in [4.0, 4.5] (99 %)"]
    assert table(lines[3:6]) == [
        ["step", "loss", "trace", "lambda_max", "rank", "rank_ceiling"],
        ["2", "0.25", *numbers, "5", "not applicable"],
        ["best.pt", "1.5", "failed", "", "", ""],
    ]
    assert lines[6:] == [
        "failed: /runs/step_3.pt is no readable checkpoint",
        "failed: /runs/step_4.pt: the loss is nan at these weights",
    ]
    assert text.endswith("\n")
    every = summary(open_store(store), all_columns=True).splitlines()
    assert table(every[3:6]) == [
        ["step", *COLUMNS],
        ["2", "0.25", "", "", numbers[0], "", numbers[1], "", "", "5", "not applicable"],
        ["best.pt", "1.5", "", "", "failed", "", "", "", "", "", ""],
    ]


def test_what_failed_later_does_not_hide_what_worked(tmp_path: Path) -> None:
    first, again = record("k1", {("trace", ""): sampled(2.0, 0.1)}), record("k2", {("trace", ""): FAILED})
    store = store_of(
        tmp_path,
        outcome("/runs/step_2.pt", first, created=1.0),
        outcome("/runs/step_2.pt", again, created=2.0, status="partial"),
    )
    opened = open_store(store)
    assert summary(opened).splitlines()[-1].split() == ["2", "2.00", "+-", "0.10", "(95", "%)"]
    assert opened.results()["trace"].tolist() == [2.0]  # and the table says what SQL says


def test_what_is_wider_than_asked_is_marked(tmp_path: Path) -> None:
    spent = {("trace", ""): sampled(2.0, 0.5, Status.BUDGET), ("lambda_max", ""): CERTIFIED}
    lines = summary(open_store(store_of(tmp_path, outcome("/runs/step_2.pt", record("k", spent))))).splitlines()
    assert table(lines[3:5])[1] == ["2", "2.0 +- 0.5 (95 %) *", "4.0 in [4.0, 4.5] (99 %)"]
    assert lines[-1] == f"* {Status.BUDGET.advice}"


def test_several_tasks_are_all_named(tmp_path: Path) -> None:
    other = {**RUNS[0].task, "loss": "cross_entropy", "reduction": "sum", "model": "pkg.mod:net", "activation": ""}
    arrays = {**RUNS[0].task, "data_path": ""}  # those of a callback have no path
    store = store_of(
        tmp_path,
        RUNS[0],
        outcome("/runs/step_5.pt", task_id="t2", task=other),
        outcome("/runs/step_6.pt", task_id="t3", task=arrays),
    )
    lines = summary(open_store(store)).splitlines()
    assert sorted(lines[1:4]) == [
        "task t1: mse (mean) over 200 samples of /data/digits.npz, mlp relu",
        "task t2: cross_entropy (sum) over 200 samples of /data/digits.npz, pkg.mod:net",
        "task t3: mse (mean) over 200 samples, mlp relu",
    ]


def test_nothing_but_failures_and_nothing_at_all(tmp_path: Path) -> None:
    store = store_of(tmp_path / "failed", RUNS[2])
    assert summary(open_store(store)) == f"{store}: 1 checkpoint(s) (1 failed)\nfailed: {RUNS[2].error}\n"
    store = store_of(tmp_path / "empty")
    assert summary(open_store(store)) == f"{store}: 0 checkpoint(s) (empty)\n"


def test_broken_files_are_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, RUNS[2])
    part = write_part(store, RUNS[0])
    part.write_bytes(b"")
    told = f"broken file of the store: {part} is no scalecurv file, or it was cut short"
    assert summary(open_store(store)).splitlines()[-1] == told
