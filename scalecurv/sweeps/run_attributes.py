"""The attributes of the runs of a sweep (learning rate, width), brought up to date in the store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.discover import root_of
from scalecurv.checkpoints.run_attributes import RunAttributes, written_attributes
from scalecurv.checkpoints.step import run_of
from scalecurv.store.frames import Tables
from scalecurv.store.labels import TICK, Row, run_row, stored_attributes
from scalecurv.store.rows import storable

Attributes = dict[str, Any]


def attributes_now(
    runs: Mapping[str, str], former: Mapping[str, str], patterns: RunAttributes, roots: Sequence[Path], tables: Tables
) -> dict[str, Attributes]:
    """Return the attributes of each run: those of a pattern precede those of run.json, and these the stored ones.

    `runs` maps each run to one of its checkpoints, and `former` a renamed run to its former name, whose attributes it
    keeps. A run.json is looked for from the run's directory up to the root that holds it. Raises Misuse where it is no
    object.
    """
    stored, _ = stored_attributes(tables)
    return {
        run: merged(
            stored.get(former.get(run, ""), {}),
            stored.get(run, {}),
            written_attributes(Path(run_of(Path(file))), root_of(Path(file), roots)),
            patterns.of(run),
        )
        for run, file in runs.items()
    }


def attribute_rows(attributes: Mapping[str, Attributes], tables: Tables, now: float) -> tuple[Row, ...]:
    """Return a row for each run whose attributes are not those in the store."""
    stored, created = stored_attributes(tables)
    return tuple(
        run_row(run, found, max(now, created.get(run, 0) + TICK))
        for run, found in attributes.items()
        if json.dumps(found, sort_keys=True) != json.dumps(stored.get(run, {}), sort_keys=True)
    )


def merged(*sources: Mapping[str, Any]) -> Attributes:
    """Return the attributes of all sources, where later ones count; None removes an attribute. Case does not matter.

    Text is as the store can hold it: JSON can spell characters that no file can.
    """
    found: dict[str, tuple[str, Any]] = {}
    for source in sources:
        found |= {name.lower(): (name, value) for name, value in source.items()}
    there = ((name, value) for name, value in found.values() if value is not None)
    return {name: storable(value) if isinstance(value, str) else value for name, value in there}
