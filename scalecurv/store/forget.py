"""Forgetting checkpoints: their rows leave the index for a sealed file of their own, which a rename brings back."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scalecurv.errors import Misuse, StoreError
from scalecurv.store.compact import keep_former, merge_lock, merge_parts, merged_tables
from scalecurv.store.frames import Tables
from scalecurv.store.image import encode
from scalecurv.store.leaving import Leaving, Selection, leaving, shown_checkpoints
from scalecurv.store.reader import FORGOTTEN, INDEX, check_store, first_readable, parts_of, read_files
from scalecurv.store.rows import storable
from scalecurv.store.writer import sync_folder, write_atomically

LISTED = 8  # runs or tasks that a message names


@dataclass(frozen=True)
class Forgotten:
    """The result: the checkpoints that left as readers saw them, the number of their estimates, and the sealed file.

    `file` is None where nothing left. `left_alone` counts, by run, missing checkpoints that stay because no file of
    their run is there. `broken` are the files of the store that could not be read, with the reason.
    """

    checkpoints: pd.DataFrame
    estimates: int
    file: Path | None
    left_alone: Mapping[str, int]
    broken: Mapping[Path, str]


def forget(store: Path, missing: bool = False, run: str = "", task: str = "", dry_run: bool = False) -> Forgotten:
    """Set the rows of checkpoints aside, those that match all that is given, and return what left.

    `run` is the path or the name of a run, `task` an identity of a task or its beginning. With `missing` the rows of
    files that are not there leave. Nothing is destroyed: the file in STORE/forgotten holds all that left, and is read
    again once it lies in STORE/parts. It is on disk before the index without its rows replaces the old one by a
    rename. So a crash at any moment leaves the store as it was or as it is to be. Others may read and write
    meanwhile; what they write about the same checkpoints stays. With `dry_run` nothing changes.

    Raises Misuse where nothing is given, for an unknown run or task and where there is no store; StoreError where the
    disk is full, and while another process merges.
    """
    if not (missing or run or task):
        raise Misuse("nothing says what to forget; give --missing, --run RUN or --task TASK")
    check_store(store)
    if dry_run:
        parts, broken = read_files(parts_of(store))
        index, why = first_readable(store)
        found = _leaving(store, merged_tables([*index.values(), *parts.values()]), missing, run, task)
        return _result(found, None, broken | why)
    try:
        with merge_lock(store) as held:
            if not held:
                raise StoreError(f"another process is merging {store}; run the same again")
            return _set_aside(store, missing, run, task)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{store} cannot be written ({error.strerror}); nothing is lost") from error


def _set_aside(store: Path, missing: bool, run: str, task: str) -> Forgotten:
    """Merge the parts, so that one rename of the index is all that changes, and write both halves of the index."""
    broken = merge_parts(store).broken
    index, _ = first_readable(store)
    found = _leaving(store, merged_tables(list(index.values())), missing, run, task)
    if found.shown.empty:
        return _result(found, None, broken)
    file = store / FORGOTTEN / f"{int(1000 * time.time()):014d}-{secrets.token_hex(4)}.h5"
    file.parent.mkdir(exist_ok=True)
    sync_folder(store)
    write_atomically(file, encode(found.going, described=True))
    image = encode(found.staying, described=True)
    if (store / INDEX).exists():
        keep_former(store)
    write_atomically(store / INDEX, image)
    return _result(found, file, broken)


def _result(found: Leaving, file: Path | None, broken: Mapping[Path, str]) -> Forgotten:
    return Forgotten(found.shown, len(found.going["estimates"]), file, found.left_alone, broken)


def _leaving(store: Path, tables: Tables, missing: bool, run: str, task: str) -> Leaving:
    """Return what leaves; raises Misuse for a run or a task that the store does not know."""
    rows = shown_checkpoints(tables)
    runs, tasks = (sorted(rows[column].unique()) for column in ("run", "task_id"))
    if run:
        name = storable(run)  # as the store spells bytes that are not UTF-8
        run = _only(name, [known for known in runs if _is_called(known, name)], runs, "run", store)
    if task:
        task = _only(task, [known for known in tasks if known.startswith(task)], tasks, "task", store)
    return leaving(tables, Selection(missing, run, task))


def _is_called(run: str, name: str) -> bool:
    return name in (run, Path(run).name) or str(Path(name).absolute()) == run


def _only(name: str, found: list[str], known: list[str], kind: str, store: Path) -> str:
    """Return the one of its `kind` that `name` stands for; raises Misuse where it is none, or several."""
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    listed = ", ".join((found or known)[:LISTED]) + (", ..." if len(found or known) > LISTED else "")
    if found:
        raise Misuse(f"{kind} {name} is the name of {len(found)} in {store}; give one whole: {listed}")
    raise Misuse(f"{store} holds no {kind} {name}; give one of: {listed or '(it is empty)'}")
