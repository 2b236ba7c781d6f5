"""Stores of checkpoints whose files are there or gone, and what a forgotten store must hold, by loops over its rows."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalecurv.quantities import Quantity
from scalecurv.record import Outcome
from scalecurv.store.compact import merged_tables
from scalecurv.store.image import encode
from scalecurv.store.labels import LabelChanges, move_row, run_row, write_labels
from scalecurv.store.reader import INDEX, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.writer import prepare_store
from tests.outcomes import TASK, cells, exactly, failure, outcome, record, store_of

Row = dict[str, Any]
ANALYSED = ("fingerprint", "task_id", "dtype", "seed")
MINE = (Quantity("mine", "a number of my own", unit="loss"), "pkg.mod:Mine")


def checkpoints_at(root: Path) -> list[Outcome]:
    """Two runs of three steps, one content twice, another task, a failed file, and an analysis of now and of before."""
    a, b = root / "a", root / "b"
    steps = [
        outcome(str(run / f"step_{i}.pt"), record(f"{run.name}{i}", exactly(trace=float(i)), ritz=[float(i)]))
        for run in (a, b)
        for i in (1, 2, 3)
    ]
    again = replace(steps[0], records=(record("more", exactly(mine=1.0)),), quantities=(MINE,))
    twice = replace(steps[1], path=str(b / "step_4.pt"), run=str(b), provenance={"host": "there"})
    other = replace(steps[2], task_id="t2", task={**TASK, "loss": "logistic"}, records=(record("o", exactly(rank=1)),))
    alias = replace(steps[0], path=str(a / "last.pt"), status="twin", records=())
    stamps = [one.stamp and replace(one.stamp, path=one.path) for one in (twice, alias)]
    twice, alias = replace(twice, stamp=stamps[0]), replace(alias, stamp=stamps[1])
    outcomes = [*steps, again, twice, other, alias, failure(str(b / "step_5.pt"))]
    return [replace(one, created=100.0 + i) for i, one in enumerate(outcomes)]


def merged_store(folder: Path, *outcomes: Outcome) -> Path:
    """A store that holds these in its index, as a merge leaves it; much quicker to make than their parts are."""
    prepare_store(folder)
    (folder / INDEX).write_bytes(encode(merged_tables([rows_of(one) for one in outcomes])))
    return folder


def store_at(root: Path, gone: Iterable[str] = ()) -> Path:
    """A store of them in `root`/store, with the files that are not `gone`, attributes of both runs and an old name."""
    outcomes = checkpoints_at(root)
    before = replace(outcomes[0], path=str(root / "old" / "step_1.pt"), run=str(root / "old"), created=50.0, records=())
    store = store_of(merged_store(root / "store", before, *outcomes[:-1]), outcomes[-1])
    for one in outcomes:
        path = Path(one.path)
        path.parent.mkdir(exist_ok=True)
        if f"{path.parent.name}/{path.name}" not in gone:
            path.touch()
    runs = tuple(run_row(str(root / name), {"lr": rate}, 300.0) for name, rate in (("a", 0.1), ("b", 0.2)))
    write_labels(store, LabelChanges(runs=runs, moves=(move_row(before.path, outcomes[0].path, 60.0),)))
    return store


def held(store: Path) -> dict[str, list[str]]:
    """All that readers see, in no order; nothing of it broken."""
    contents = read_store(store)
    assert contents.broken == {}
    return {name: sorted(map(repr, table)) for name, table in cells(contents.tables).items()}


def expected(store: Path, goes: Callable[[Row], bool]) -> dict[str, list[str]]:
    """What readers must see once the checkpoints for which `goes` is true have gone."""
    tables = cells(read_store(store).tables)
    kept = [row for row in tables["checkpoints"] if not goes(row)]
    out = [row for row in tables["checkpoints"] if goes(row)]

    def of(rows: list[Row], *columns: str) -> set[tuple[Any, ...]]:
        return {tuple(row[column] for column in columns) for row in rows}

    def unless(table: str, used: set[Any], still: set[Any], *columns: str) -> list[Row]:
        rows = [(row, tuple(row[column] for column in columns)) for row in tables[table]]
        return [row for row, value in rows if value not in used or value in still]

    left = {**tables, "checkpoints": kept}
    for name in ("estimates", "arrays"):
        left[name] = unless(name, of(out, *ANALYSED), of(kept, *ANALYSED), *ANALYSED)
    gone = [row for row in tables["estimates"] if row not in left["estimates"]]
    left["tasks"] = unless("tasks", of(out, "task_id"), of(kept, "task_id"), "task_id")
    left["runs"] = unless("runs", of(out, "run"), of(kept, "run"), "run")
    used, still = of(gone, "provenance_id"), of(left["estimates"], "provenance_id")
    left["provenance"] = unless("provenance", used, still, "provenance_id")
    moved = of(out, "path")
    left["moves"] = [row for row in tables["moves"] if (row["moved_to"],) not in moved]
    paths, prints = of(kept, "path"), of(kept, "fingerprint")
    known = of(tables["checkpoints"], "path")
    left["files"] = [
        row
        for row in tables["files"]
        if ((row["path"],) in paths if (row["path"],) in known else (row["fingerprint"],) in prints)
    ]
    return {name: sorted(map(repr, rows)) for name, rows in left.items()}
