"""A store to be merged: one run in the index, two in parts."""

import errno
from pathlib import Path
from typing import Any

from scalecurv.store.reader import read_store
from tests.outcomes import cells, exactly, failure, outcome, record, sampled

PATH = "/runs/step_1.pt"
RUNS = [
    outcome(PATH, record("k1", exactly(trace=1.0), ritz=[1.0]), total_matvecs=30, created=100.0),
    outcome(PATH, record("k2", {("trace", "fc1"): sampled(2.0, 0.1)}), total_matvecs=12, created=200.0),
    failure("/runs/step_2.pt", created=300.0),
]
LATE = outcome("/runs/step_3.pt", record("k3", exactly(trace=3.0)), created=400.0)


def rows(store: Path) -> dict[str, list[str]]:
    """All that readers see, in no order; nothing of it broken."""
    contents = read_store(store)
    assert contents.broken == {}
    return {name: sorted(map(repr, table)) for name, table in cells(contents.tables).items()}


def refused(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "this file system knows no links")
