"""A sweep, and the work that it has left: the checkpoints at which the store lacks some measure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scalecurv.analysis import Identity, Request
from scalecurv.checkpoints.common_task import common_task
from scalecurv.checkpoints.load import Checkpoint, stamp_of
from scalecurv.checkpoints.step import is_alias
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.dispatch import Resources, check_device
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.shard import Shard
from scalecurv.record import FileStamp, Stored
from scalecurv.store.reader import Contents, read_store

PREFLIGHT_FILES = 3  # how many checkpoints may be at odds with the data before the data is to blame


@dataclass(frozen=True)
class Sweep:
    """A request over many checkpoints: what to analyse, what to compute and how, and where to store it.

    `given` are the options that the user gave about the problem, by the names of ProblemSpec; problem.json has the
    rest.
    """

    checkpoints: tuple[Path, ...]
    store: Path
    given: Mapping[str, Any]
    request: Request
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    resources: Resources = field(default_factory=Resources)
    rehash: bool = False


@dataclass(frozen=True)
class Work:
    """The work that a sweep has left: the `todo` of the `found` files lack some measure.

    `known` is what is stored, by key, and `broken` the broken files of the store with the reason. `seen` maps the
    fingerprints of the files that are in the store already to their paths, without aliases (last, best). `first` is
    the first checkpoint of `todo` where it could be read.
    """

    task: Task
    found: tuple[Path, ...]
    todo: tuple[str, ...]
    known: Mapping[str, Stored]
    broken: dict[Path, str]
    seen: Mapping[str, str] = field(default_factory=dict)
    first: Checkpoint | None = field(default=None, repr=False)


def find_work(sweep: Sweep, only: Container[str] | None = None) -> Work:
    """Return the work that is left, of all files or `only` of some, from the store and the state of the files.

    Raises Misuse for anything that would make the whole sweep pointless, before any checkpoint is analysed.
    """
    check_device(sweep.resources)
    task, found = common_task(sweep.checkpoints, sweep.given, sweep.request.seed)
    if sweep.store.exists() and not sweep.store.is_dir():
        raise Misuse(f"{sweep.store} is a file; give a directory for the store (it is made if it does not exist)")
    contents = read_store(sweep.store) if sweep.store.is_dir() else None
    known = contents.stored if contents else {}
    stamps = {path: state_of(path) for path in found}
    trusted = contents if not sweep.rehash else None
    complete = _complete(sweep, task.id, trusted, known) if trusted else set()
    stored = _stored(set(stamps.values()), trusted) if trusted else {}
    seen = {fingerprint: path for path, fingerprint in stored.items() if not is_alias(Path(path))}
    left = [
        str(path)
        for path in found
        if (only is None or str(path) in only) and stamps[path] not in complete and not _is_twin(path, stored, seen)
    ]
    todo = tuple(sorted(left, key=lambda path: is_alias(Path(path))))
    worked = contents is not None and bool((contents.tables["estimates"]["task_id"] == task.id).any())
    first = _preflight(task, todo, sweep, worked)
    return Work(task, tuple(found), todo, known, contents.broken if contents else {}, seen, first)


def _stored(stamps: Container[FileStamp | None], contents: Contents) -> dict[str, str]:
    """Return the fingerprints by path of those files whose state is the one that the store saw last."""
    return {
        file.path: file.fingerprint
        for file in contents.tables["files"].itertuples()
        if FileStamp(file.path, file.size, file.mtime_ns, file.inode) in stamps
    }


def _is_twin(path: Path, stored: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    return is_alias(path) and stored.get(str(path)) in seen


def state_of(path: Path) -> FileStamp | None:
    """Return the present state of a checkpoint's files, None where they are gone."""
    try:
        return stamp_of(path)
    except CheckpointError:  # gone since it was listed: the worker will say so
        return None


def _complete(sweep: Sweep, task_id: str, contents: Contents, known: Mapping[str, Stored]) -> set[FileStamp | None]:
    """Return the file states at which the store meets the whole request; no file is read again."""
    complete: set[FileStamp | None] = set()
    for file in contents.tables["files"].itertuples():
        identity = Identity(file.fingerprint, task_id, sweep.arithmetic.dtype or file.dtype)
        if not sweep.request.missing(identity, known):
            complete.add(FileStamp(file.path, file.size, file.mtime_ns, file.inode))
    return complete


def _preflight(task: Task, todo: tuple[str, ...], sweep: Sweep, worked: bool) -> Checkpoint | None:
    """Try the first checkpoints against the data, and return the very first, None where it cannot be read.

    A wrong request thus costs seconds; it is raised as Misuse. Unreadable files are left to the workers, which store
    them as failed, and so are those that do not fit the data where others did (`worked`).
    """
    complaint: Misuse | None = None
    first: Checkpoint | None = None
    shard = Shard(0, 2) if sweep.resources.plan == "data" else None  # what two ranks cannot share, more cannot
    for path in todo[:PREFLIGHT_FILES]:
        try:
            checkpoint = task.load(Path(path))
            first = checkpoint if path == todo[0] else first
            problem, _ = task.at(checkpoint, replace(sweep.arithmetic, device="cpu"), shard)
        except (CheckpointError, MemoryError):
            continue
        except Misuse as error:
            complaint = complaint or (None if worked else error)
            continue
        try:
            for measure in sweep.request.measures:
                measure.check(problem.restricted(measure.params))
            return first
        except Misuse as error:
            complaint = complaint or error
    if complaint is not None:
        raise complaint
    return first
