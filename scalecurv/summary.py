"""What a store says at a glance: a line about it, and a row of numbers with their intervals a checkpoint."""

import math

import pandas as pd

from scalecurv.estimate import Estimate, Status
from scalecurv.query import Store

COLUMNS = ("loss", "grad_norm", "beta", "trace", "lambda_max", "scalar_curvature", "t2_minus_f", "rank", "rank_ceiling")


def summary(store: Store) -> str:
    """Counts of checkpoints by status, the tasks, the main quantities as `value +- half-width`, the failures."""
    results = store.results()
    counts = results["status"].value_counts()
    said = ", ".join(f"{count} {status}" for status, count in counts.items()) or "empty"
    lines = [f"{store.path}: {len(results)} checkpoint(s) ({said})"]
    for task in store.table("tasks").itertuples():
        lines.append(
            f"task {task.task_id}: {task.loss} ({task.reduction}) over {task.num_data} samples of {task.data_path}, "
            f"{task.model}{' ' + task.activation if task.activation else ''}"
        )
    worked = results[results["status"] != "failed"]
    if len(worked):
        lines += ["", _table(store, worked).to_string(index=False)]
    for row in results[results["status"] == "failed"].itertuples():
        lines.append(f"failed: {row.error if row.checkpoint in row.error else f'{row.checkpoint}: {row.error}'}")
    lines += [f"broken file of the store: {reason}" for reason in store.broken.values()]
    return "\n".join(lines) + "\n"


def _table(store: Store, results: pd.DataFrame) -> pd.DataFrame:
    estimates = store.estimates()
    estimates = estimates[estimates["component"] == ""].assign(good=estimates["status"] != "failed")
    estimates = estimates.sort_values(["good", "created"], kind="stable")  # a failure shows only where nothing else is
    cells = {(e.fingerprint, e.task_id, e.dtype, e.seed, e.quantity): str(_estimate(e)) for e in estimates.itertuples()}
    rows = []
    for row in results.itertuples():
        identity = (row.fingerprint, row.task_id, row.dtype, row.seed)
        step = row.checkpoint.rsplit("/", 1)[-1] if pd.isna(row.step) else str(row.step)
        rows.append({"step": step, **{name: cells.get((*identity, name), "") for name in COLUMNS}})
    return pd.DataFrame(rows)


def _estimate(row) -> Estimate:  # type: ignore[no-untyped-def]
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
