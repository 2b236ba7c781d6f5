"""One checkpoint of each run: at a step that all have, at a given one, or where all have the same loss."""

import numpy as np
import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.plot.selection import ANALYSED, Selection, identity, look_at, place

LAST, EQUAL_LOSS = "last", "equal loss"


def chosen_rows(selection: Selection, at: int | str) -> tuple[Selection, str]:
    """Return one row of each run and way of analysis, and the words that say where it is.

    `at` is "last", "equal loss" or a step. Failed checkpoints do not count. Raises Misuse where the runs share no step,
    where no run has the step, and where the losses of the runs do not meet.
    """
    usable = with_steps(selection, "step")
    rows = usable.rows
    if "status" in rows:
        rows = rows[rows["status"] != "failed"]
    lines = rows.groupby(identity(rows), dropna=False, sort=False).ngroup() if identity(rows) else rows["step"] * 0
    if at == EQUAL_LOSS:
        kept, words = _equal_loss(rows, lines, selection)
    elif at == LAST:
        common = set.intersection(*(set(part.astype(int)) for _, part in rows["step"].groupby(lines)))
        if not common:
            raise Misuse(f"the runs of {place(selection.source)} have no step in common; give at=STEP, or 'equal loss'")
        kept, words = rows[rows["step"] == max(common)], f"step {max(common):,}"
    elif isinstance(at, int) and not isinstance(at, bool):
        kept, words = rows[rows["step"] == at], f"step {at:,}"
        if kept.empty:
            steps = sorted(set(rows["step"].astype(int)))
            near = sorted(steps, key=lambda step: abs(step - at))[:5]
            raise Misuse(f"no checkpoint has step {at}; near it are {', '.join(map(str, sorted(near)))}")
    else:
        raise Misuse(f"at is {at!r}; give 'last', 'equal loss' or a step")
    left_out = dict(usable.left_out)
    absent = lines.nunique() - lines[kept.index].nunique()
    if absent:
        left_out[f"run(s) without {words}"] = int(absent)
    return Selection(selection.source, kept.reset_index(drop=True), left_out), words


def with_steps(selection: Selection, x: str) -> Selection:
    """Return the rows that have a number for `x`, the step; counts the others. Raises Misuse where none has one."""
    if x not in selection.rows or not pd.api.types.is_numeric_dtype(selection.rows[x]):
        raise Misuse(f"{place(selection.source)} has no column {x!r} of numbers to draw over; give step or epoch")
    there = selection.rows[x].notna()
    failed = selection.rows["status"] == "failed" if "status" in selection.rows else ~there
    if not there.any():
        whole = f"{place(selection.source)} holds no checkpoint with a {x} to draw over"
        raise Misuse(f"{whole}; see {look_at(selection.source)}")
    if (failed | ~there).all():
        raise Misuse(f"every checkpoint of {place(selection.source)} failed; {look_at(selection.source)} says why")
    left_out = dict(selection.left_out)
    if not there.all():
        left_out[f"checkpoint(s) without a {x}"] = int((~there).sum())
    rows = selection.rows[there].reset_index(drop=True)
    rows, homeless = _beside_their_runs(rows)
    if homeless:
        left_out["failed checkpoint(s) of runs without a number"] = homeless
    return Selection(selection.source, rows, left_out)


def _beside_their_runs(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows with failed ones on the first line of their run, and the number of those that have none.

    A file that could not be read has no dtype, by which it would be a line of its own.
    """
    keys = [name for name in ANALYSED if name in rows]
    if "status" not in rows or "run" not in rows or not keys:
        return rows, 0
    failed = rows["status"] == "failed"
    first = rows[~failed].drop_duplicates("run").set_index("run")[keys]
    homeless = failed & ~rows["run"].isin(first.index)
    if (moved := failed & ~homeless).any():
        rows = rows.assign(**{key: rows[key].where(~moved, rows["run"].map(first[key])) for key in keys})
    return rows[~homeless].reset_index(drop=True), int(homeless.sum())


def _equal_loss(rows: pd.DataFrame, lines: pd.Series, selection: Selection) -> tuple[pd.DataFrame, str]:
    """Return the checkpoint of each run whose loss is nearest to the smallest loss that all runs reach."""
    if "loss" not in rows or not np.isfinite(rows["loss"].to_numpy(dtype=float, na_value=np.nan)).any():
        raise Misuse(f"{place(selection.source)} holds no loss to compare at; --measure gradient computes it")
    there = np.isfinite(rows["loss"].to_numpy(dtype=float, na_value=np.nan))
    rows, lines = rows[there], lines[there]
    loss = rows["loss"].astype(float)
    target = float(loss.groupby(lines).min().max())
    far = (loss - target).abs()
    kept = rows.loc[far.groupby(lines).idxmin()]
    worst = float(far[kept.index].max())
    return kept, f"loss {target:.3g} (within {worst:.1g})"
