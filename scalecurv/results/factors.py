"""The arrays of a checkpoint (Ritz values, singular values), chosen among all that a store holds."""

import numpy as np
import pandas as pd

from scalecurv.display import listing, shown
from scalecurv.errors import Misuse
from scalecurv.quantities import ARRAYS
from scalecurv.results.spectra import best_runs
from scalecurv.store.frames import plain


def stored_array(
    arrays: pd.DataFrame,
    name: str,
    fingerprint: str,
    seed: int | None = None,
    measure: str | None = None,
    task_id: str | None = None,
    dtype: str | None = None,
) -> np.ndarray:
    """Return the array `name` of one checkpoint from the table `arrays`, a copy of shape (m,) in float64.

    Of several times that a measure was computed the choice is that of the spectrum: the latest version, then all
    eigenvalues rather than an estimate, the longest, and the newest. So arrays of one measure belong together. Raises
    Misuse where there is none, and where several measures, tasks, dtypes or seeds have one and none is chosen.
    """
    here = plain(arrays[arrays["fingerprint"] == fingerprint])
    named = here[here["name"] == name]
    if named.empty:
        raise Misuse(f"no array {shown(name)} of checkpoint {shown(fingerprint)}; {_there(here)}; {_made_by(name)}")
    wanted = {"measure": measure, "task_id": task_id, "dtype": dtype, "seed": seed}
    for column, value in wanted.items():
        there = sorted(named[column].unique().tolist())
        named = named if value is None else named[named[column] == value]
        if named.empty:
            raise Misuse(f"no array {name} of {fingerprint} with {column}={value!r}; there are {listing(there)}")
    for column in wanted:
        there = sorted(named[column].unique().tolist())
        if len(there) > 1:
            raise Misuse(
                f"{name} of {fingerprint} is stored for several {column}; choose with {column}={there[0]!r}"
                f" or another of {listing(there)}"
            )
    one = named.iloc[0]
    same = np.logical_and.reduce([here[column] == one[column] for column in wanted])
    runs = best_runs(here[same & here["key"].isin(named["key"])], name)
    return np.array(runs.iloc[-1]["values"], dtype=np.float64)


def _there(rows: pd.DataFrame) -> str:
    """Return the arrays of a checkpoint, by measure, in words."""
    pairs = rows[["measure", "name"]].drop_duplicates().sort_values(["measure", "name"])
    by_measure = [f"{', '.join(names)} ({measure})" for measure, names in pairs.groupby("measure")["name"]]
    return f"there are {listing(by_measure)}" if by_measure else "it has no array"


def _made_by(name: str) -> str:
    """Return the command that stores an array of this name, or the names that commands store."""
    options = ARRAYS.get(name)
    if options is None:
        return f"`scalecurv analyze` stores {', '.join(ARRAYS)}"
    return f"`scalecurv analyze CHECKPOINTS STORE {options}` stores it"
