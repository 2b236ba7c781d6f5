"""The write path: which checkpoints still lack what was asked, computed somewhere, committed one by one."""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scalecurv.analysis import Identity, Request
from scalecurv.checkpoints.common_task import common_task
from scalecurv.checkpoints.discover import discover
from scalecurv.checkpoints.load import stamp_of
from scalecurv.checkpoints.step import is_alias
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.attempts import Done, Lost
from scalecurv.engine.dispatch import Resources, check_device, run
from scalecurv.engine.worker import Analyst, failure
from scalecurv.errors import CheckpointError, Misuse, NothingFound
from scalecurv.problem.shard import Shard
from scalecurv.record import FileStamp, Outcome
from scalecurv.store.compact import compact_if_many
from scalecurv.store.reader import Contents, read_store, set_aside
from scalecurv.store.writer import prepare_store, write_part

PREFLIGHT_FILES = 3  # how many checkpoints may be at odds with the data before the data is to blame


@dataclass(frozen=True)
class Sweep:
    """A directory's worth of work: what to analyse, what to ask, how to compute, where to keep it.

    `said` is what the user said of the problem, by the names of ProblemSpec; problem.json adds the rest.
    """

    checkpoints: tuple[Path, ...]
    store: Path
    said: Mapping[str, Any]
    request: Request
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    resources: Resources = field(default_factory=Resources)
    rehash: bool = False


@dataclass(frozen=True)
class Plan:
    """What a sweep would do: `todo` of the `found` files lack some measure; `mended` were broken store files.

    `seen` has the fingerprints of those files that are in the store already, but for aliases (last, best).
    """

    task: Task
    found: tuple[Path, ...]
    todo: tuple[str, ...]
    known: frozenset[str]
    mended: dict[Path, str]
    seen: Mapping[str, str] = field(default_factory=dict)


def plan(sweep: Sweep, only: Container[str] | None = None) -> Plan:
    """Find the work that is left, of all files or `only` of some. Reads the store, and what tells files apart.

    Raises Misuse for anything that would make the whole sweep pointless, before any unit has run.
    """
    check_device(sweep.resources)
    task, found = common_task(sweep.checkpoints, sweep.said, sweep.request.seed)
    if sweep.store.exists() and not sweep.store.is_dir():
        raise Misuse(f"{sweep.store} is a file; give a directory for the store (it is made if it does not exist)")
    contents = read_store(sweep.store) if sweep.store.is_dir() else None
    known = contents.keys if contents else frozenset()
    complete = _complete(sweep, task.id, contents, known) if contents and not sweep.rehash else set()
    stored = _stored(found, contents) if contents and not sweep.rehash else {}
    seen = {fingerprint: path for path, fingerprint in stored.items() if not is_alias(Path(path))}
    wanted = [path for path in found if only is None or str(path) in only]
    left = [str(path) for path in wanted if _stamp(path) not in complete and not _is_twin(path, stored, seen)]
    todo = tuple(sorted(left, key=lambda path: is_alias(Path(path))))
    worked = contents is not None and bool((contents.tables["estimates"]["task_id"] == task.id).any())
    _preflight(task, todo, sweep, worked)
    return Plan(task, tuple(found), todo, known, contents.broken if contents else {}, seen)


def execute(sweep: Sweep, plan: Plan, on_outcome: Callable[[Outcome], None]) -> None:
    """Run what the plan left to do; every outcome is committed before `on_outcome` hears of it.

    Aliases come last: of one that equals another checkpoint in content no more is kept than that, as a `twin`.
    Raises StoreError where the store cannot be written, UnitError for a bug met at some checkpoint (after
    committing what was in flight), Misuse for resources that are not there.
    """
    prepare_store(sweep.store)
    for path in plan.mended:
        set_aside(path)
    compact_if_many(sweep.store)
    if not plan.todo:
        return
    analyst = Analyst(plan.task, sweep.request, sweep.arithmetic, plan.known)
    outcomes = _outcomes(run(analyst, plan.todo, sweep.resources), plan.task.id, sweep.request.seed)
    for outcome in _twins_last(outcomes, plan.seen):
        write_part(sweep.store, outcome)
        on_outcome(outcome)
        compact_if_many(sweep.store)


def _twins_last(outcomes: Iterable[Outcome], seen: Mapping[str, str]) -> Iterator[Outcome]:
    """The outcomes of aliases after all others, those as `twin` that equal one of them or of what is `seen`."""
    originals, aliases = dict(seen), []
    for outcome in outcomes:
        if is_alias(Path(outcome.path)):
            aliases.append(outcome)
            continue
        if outcome.fingerprint:
            originals[outcome.fingerprint] = outcome.path
        yield outcome
    for outcome in aliases:
        twin = originals.get(outcome.fingerprint)
        yield outcome if twin is None else replace(outcome, status="twin", error=twin, records=())


def _stored(found: Iterable[Path], contents: Contents) -> dict[str, str]:
    """The fingerprints of those of the files that are as the store saw them last, by path."""
    stamps = {_stamp(path) for path in found}
    return {
        file.path: file.fingerprint
        for file in contents.tables["files"].itertuples()
        if FileStamp(file.path, file.size, file.mtime_ns, file.inode) in stamps
    }


def _is_twin(path: Path, stored: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    return is_alias(path) and stored.get(str(path)) in seen


def _outcomes(news: Iterator[Done | Lost], task_id: str, seed: int) -> Iterator[Outcome]:
    for item in news:
        if isinstance(item, Done):
            yield replace(item.result, attempt=item.attempt)
        else:
            yield replace(failure(item.unit, item.reason, task_id, seed), attempt=item.attempt)


def _stamp(path: Path) -> FileStamp | None:
    try:
        return stamp_of(path)
    except CheckpointError:  # gone since it was listed: the worker will say so
        return None


def _complete(sweep: Sweep, task_id: str, contents: Contents, known: frozenset[str]) -> set[FileStamp | None]:
    """The file states whose every requested key is in the store: a set difference, no file is read again."""
    complete: set[FileStamp | None] = set()
    for file in contents.tables["files"].itertuples():
        identity = Identity(file.fingerprint, task_id, sweep.arithmetic.dtype or file.dtype)
        if known.issuperset(sweep.request.keys(identity)):
            complete.add(FileStamp(file.path, file.size, file.mtime_ns, file.inode))
    return complete


def _preflight(task: Task, todo: tuple[str, ...], sweep: Sweep, worked: bool) -> None:
    """Try the first checkpoints against the data here, so that a wrong request costs seconds.

    Unreadable files are left to the workers, which record them as failed; and so are those that do not fit the data
    where others did: `worked`.
    """
    complaint: Misuse | None = None
    shard = Shard(0, 2) if sweep.resources.plan == "data" else None  # what two cannot share out no more can
    for path in todo[:PREFLIGHT_FILES]:
        try:
            problem, _ = task.at(task.load(Path(path)), replace(sweep.arithmetic, device="cpu"), shard)
        except (CheckpointError, MemoryError):
            continue
        except Misuse as error:
            complaint = complaint or (None if worked else error)
            continue
        try:
            for measure in sweep.request.measures:
                measure.check(problem.restricted(measure.params))
            return
        except Misuse as error:
            complaint = complaint or error
    if complaint is not None:
        raise complaint


POLL = 2.0  # seconds between two looks: a file that is the same in both is whole


def plans_as_they_come(
    sweep: Sweep, patience: float | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Plan]:
    """A plan whenever there are new checkpoints, to be executed before the next is asked for; raises Misuse.

    A file that grew since the last look is left until it is the same twice; one that failed is tried again when it
    changes. Ends after `patience` seconds in which no file appeared or changed, never without one.
    """
    before: set[FileStamp] = set()
    done: set[FileStamp] = set()
    waited = -POLL  # it takes two looks to see that a file is whole
    while patience is None or waited <= patience:
        now = _stamps(sweep)
        if now != before:
            waited = -POLL
        if fresh := (now & before) - done:
            done |= fresh
            with suppress(NothingFound):  # but the data, before the first checkpoint
                yield plan(sweep, only={stamp.path for stamp in fresh})
        before = now
        sleep(POLL)
        waited += POLL


def _stamps(sweep: Sweep) -> set[FileStamp]:
    stamps = set()
    try:
        for path in discover(sweep.checkpoints):
            try:
                stamps.add(stamp_of(path))
            except CheckpointError:  # gone since it was listed
                continue
    except NothingFound:  # training has not come to its first
        return set()
    return stamps
