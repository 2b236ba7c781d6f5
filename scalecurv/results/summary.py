"""The summary of a store: counts, tasks, and for each checkpoint a row of numbers with their intervals."""

import math
from typing import Any

import pandas as pd

from scalecurv.results.query import Store
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.store.schema import ANALYSED

MARK = "*"
COLUMNS = (
    *("loss", "grad_norm", "beta", "trace", "trace_rescaled", "lambda_max", "scalar_curvature", "t2_minus_f"),
    *("rank", "rank_ceiling"),
)


def summary(store: Store, all_columns: bool = False) -> str:
    """Return counts of checkpoints by status, the tasks, the main quantities as `value +- half-width`, the failures.

    A quantity that no checkpoint has is left out, unless `all_columns` is True.
    """
    results = store.results()
    counts = results["status"].value_counts()
    by_status = ", ".join(f"{count} {status}" for status, count in counts.items()) or "empty"
    lines = [f"{store.path}: {len(results)} checkpoint(s) ({by_status})"]
    for task in store.table("tasks").itertuples():
        drawn = f"{task.num_data} of {task.num_available}" if task.num_available > task.num_data else task.num_data
        lines.append(
            f"task {task.task_id}: {task.loss} ({task.reduction}) over {drawn} samples"
            f"{f' of {task.data_path}' if task.data_path else ''}, "
            f"{task.model}{' ' + task.activation if task.activation else ''}"
            f"{f', --weights {task.weights}' if task.weights else ''}"
            f"{f', --ignore {task.ignored}' if task.ignored else ''}"
        )
    worked = results[results["status"] != "failed"]
    if len(worked):
        table = _table(store, worked)
        if not all_columns:
            table = table.drop(columns=[name for name in COLUMNS if (table[name] == "").all()])
        lines += ["", table.to_string(index=False)]
        if table.apply(lambda column: column.str.endswith(MARK)).any(axis=None):
            lines.append(f"{MARK} {Status.BUDGET.advice}")
    if blocks := sorted({c.partition(" ")[0] for c in store.chosen()["component"] if c.startswith("params=")}):
        lines.append(f"in estimates, by component: {', '.join(blocks)}")
    for row in results[results["status"] == "failed"].itertuples():
        lines.append(f"failed: {row.error if row.checkpoint in row.error else f'{row.checkpoint}: {row.error}'}")
    lines += [f"broken file of the store: {reason}" for reason in store.broken.values()]
    return "\n".join(lines) + "\n"


def _table(store: Store, results: pd.DataFrame) -> pd.DataFrame:
    chosen = store.chosen()
    chosen = chosen[chosen["component"] == ""]
    cells = {(e.fingerprint, e.task_id, e.dtype, e.seed, e.quantity): _cell(e) for e in chosen.itertuples()}
    apart = [name for name in ("run", *ANALYSED[1:]) if results[name].nunique() > 1]
    rows = []
    for row in results.itertuples():
        identity = (row.fingerprint, row.task_id, row.dtype, row.seed)
        step = row.checkpoint.rsplit("/", 1)[-1] if pd.isna(row.step) else str(row.step)
        who = {name: str(getattr(row, name)) for name in apart}
        rows.append({**who, "step": step, **{name: cells.get((*identity, name), "") for name in COLUMNS}})
    return pd.DataFrame(rows)


def _cell(row: Any) -> str:
    return str(estimate_of(row)) + (f" {MARK}" if row.status == Status.BUDGET else "")


def estimate_of(row: Any) -> Estimate:
    """Return the estimate that a row of the tables `long` or `estimates` holds."""
    return Estimate(
        row.value,
        row.stderr,
        row.lower if not math.isnan(row.lower) else row.value,
        row.upper if not math.isnan(row.upper) else row.value,
        row.confidence,
        row.num_samples,
        row.num_matvecs,
        row.method,
        Status(row.status),
    )
