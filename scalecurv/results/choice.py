"""The choice of one checkpoint of a store: by its fingerprint, or by its training step and its run."""

from pathlib import Path
from typing import Any

import pandas as pd

from scalecurv.display import kind_of, listing, shown
from scalecurv.errors import Misuse

_LISTED = 12  # steps that a message names


def chosen_fingerprint(
    checkpoints: pd.DataFrame, fingerprint: str | None = None, step: Any = None, run: str | None = None
) -> str:
    """Return the fingerprint of the one checkpoint that is meant, among the rows of `results`.

    A run is given by its path or by the name of its folder. A `fingerprint` is returned as it is given. Raises Misuse
    where nothing fits, and where several contents do: the message lists them.
    """
    if fingerprint is not None:
        if step is not None or run is not None:
            raise Misuse("a fingerprint says which checkpoint is meant; give it alone, or step= and run= in its place")
        return fingerprint
    rows = checkpoints[(checkpoints["status"] != "failed") & (checkpoints["fingerprint"] != "")]
    if rows.empty:
        raise Misuse("the store holds no checkpoint that was analysed; `scalecurv analyze CHECKPOINTS STORE` adds some")
    rows = rows if run is None else rows[_of_run(rows["run"], run)]
    rows = rows if step is None else rows[_of_step(rows["step"], step)]
    contents = rows["fingerprint"].unique()
    if len(contents) == 1:
        return str(contents[0])
    raise Misuse(_several(rows, step))


def _of_run(runs: pd.Series, wanted: str) -> pd.Series:
    known = sorted(runs.unique())
    named = [wanted] if wanted in known else [run for run in known if Path(run).name == str(wanted)]
    if len(named) > 1:
        raise Misuse(f"run {shown(wanted)} is the name of {listing(named)}; give one whole")
    if not named:
        raise Misuse(f"the store holds no run {shown(wanted)}; there are {listing(known)}")
    return runs == named[0]


def _of_step(steps: pd.Series, wanted: Any) -> pd.Series:
    if isinstance(wanted, bool) or not hasattr(wanted, "__int__") or int(wanted) != wanted:
        came = kind_of(wanted) if not hasattr(wanted, "__int__") else wanted
        raise Misuse(f"step is {came}; give a whole number, as in the column step of results")
    found = (steps == int(wanted)).fillna(False).astype(bool)
    if not found.any():
        there = sorted(steps.dropna().unique().tolist())
        raise Misuse(f"no checkpoint of step {int(wanted)}; there are steps {listing(there, _LISTED) or 'of no file'}")
    return found


def _several(rows: pd.DataFrame, step: Any) -> str:
    """Return the message for rows of several contents: what they are, and which argument chooses one."""
    if step is None:
        steps = sorted(rows["step"].dropna().unique().tolist())
        chosen = f"step=, one of {listing(steps, _LISTED)}" if steps else f"fingerprint=, one of {_files(rows)}"
        return f"{rows['fingerprint'].nunique()} checkpoints fit; choose one by {chosen}"
    runs = sorted(rows["run"].unique())
    if len(runs) > 1:
        return f"{len(runs)} runs have a checkpoint of step {int(step)}; choose with run=, one of {listing(runs)}"
    return f"several checkpoints are of step {int(step)}; choose one by fingerprint=: {_files(rows)}"


def _files(rows: pd.DataFrame) -> str:
    first = rows.drop_duplicates("fingerprint")
    names = zip(first["checkpoint"], first["fingerprint"], strict=True)
    return listing([f"{fingerprint} ({Path(file).name})" for file, fingerprint in names])
