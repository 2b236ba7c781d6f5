"""A sweep, and the work that it has left: the checkpoints at which the store lacks some measure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scalecurv.analysis import Identity, Request
from scalecurv.checkpoints.common_task import common_task
from scalecurv.checkpoints.discover import EVERY, Globs, roots_of
from scalecurv.checkpoints.load import Checkpoint, stamp_of
from scalecurv.checkpoints.run_attributes import RunAttributes
from scalecurv.checkpoints.step import is_alias
from scalecurv.checkpoints.step_pattern import Label, StepPattern
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.resources import Resources, check_device
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.measures.own_findings import check_at
from scalecurv.problem.shard import Shard
from scalecurv.record import FileStamp, Stored
from scalecurv.store.frames import empty_tables
from scalecurv.store.reader import Contents, read_store
from scalecurv.store.rows import storable
from scalecurv.sweeps.inventory import Inventory
from scalecurv.sweeps.labels import Labels, notes_on_steps

PREFLIGHT_FILES = 3  # how many checkpoints may be at odds with the data before the data is to blame


@dataclass(frozen=True)
class Sweep:
    """A request over many checkpoints: what to analyse, what to compute and how, and where to store it.

    `given` are the options that the user gave about the problem, by the names of ProblemSpec; problem.json has the
    rest. `globs` choose among the checkpoints in directories. `step_pattern` is a StepPattern as text, and
    `run_attributes` are patterns by name; see RunAttributes.
    """

    checkpoints: tuple[Path, ...]
    store: Path
    given: Mapping[str, Any]
    request: Request
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    resources: Resources = field(default_factory=Resources)
    globs: Globs = EVERY
    rehash: bool = False
    step_pattern: str | None = None
    run_attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """The work that a sweep has left: the `todo` of the `found` files lack some measure.

    `known` is what is stored, by key, and `broken` the broken files of the store with the reason. `inventory` is what
    the store knows of the files, and changes of their labels. `seen` maps the fingerprints of the files that are in the
    store already to their paths, without aliases (last, best). `first` is the first checkpoint of `todo` where it could
    be read. `notes` are lines on labels that the user should see first.
    """

    task: Task
    found: tuple[Path, ...]
    todo: tuple[str, ...]
    known: Mapping[str, Stored]
    broken: dict[Path, str]
    inventory: Inventory = field(repr=False)
    seen: Mapping[str, str] = field(default_factory=dict)
    first: Checkpoint | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def find_work(sweep: Sweep, only: Container[str] | None = None) -> Work:
    """Return the work that is left, of all files or `only` of some, from the store and the state of the files.

    Raises Misuse for anything that would make the whole sweep pointless, before any checkpoint is analysed.
    """
    check_device(sweep.resources)
    pattern = None if sweep.step_pattern is None else StepPattern.compiled(sweep.step_pattern)
    patterns = RunAttributes.compiled(sweep.run_attributes)
    task, found = common_task(sweep.checkpoints, sweep.given, sweep.request.seed, sweep.globs, sweep.arithmetic.memory)
    if sweep.store.exists() and not sweep.store.is_dir():
        raise Misuse(f"{sweep.store} is a file; give a directory for the store (it is made if it does not exist)")
    contents = read_store(sweep.store) if sweep.store.is_dir() else Contents(empty_tables(), {})
    stored, names = contents.stored, {storable(str(path)): path for path in found}
    rules = Labels(pattern, roots_of(sweep.checkpoints), sweep.rehash)
    choice = task.spec.weights, task.spec.ignore
    states = {name: state_of(path, *choice) for name, path in names.items()}
    inventory = Inventory(states, contents.tables, rules, patterns)
    known = inventory.known
    seen = {known[name].fingerprint: str(path) for name, path in names.items() if name in known and not is_alias(path)}
    left = [
        path
        for name, path in names.items()
        if (only is None or str(path) in only)
        and not _complete(sweep, task.id, inventory, name, stored)
        and not (is_alias(path) and name in known and known[name].fingerprint in seen)
    ]
    todo = tuple(str(path) for path in sorted(left, key=is_alias))
    worked = bool((contents.tables["estimates"]["task_id"] == task.id).any())
    first = _preflight(task, todo, sweep, worked)
    read = {storable(str(first.path)): Label(first.step, first.epoch)} if first else {}
    notes = (*notes_on_steps(inventory.labels, rules, read, strict=only is None), *inventory.notes)
    return Work(task, tuple(found), todo, stored, contents.broken, inventory, seen, first, notes)


def state_of(path: Path, weights: str | None = None, ignore: str | None = None) -> FileStamp | None:
    """Return the present state of a checkpoint's files, with the choice of tensors, None where they are gone."""
    try:
        return stamp_of(path, weights, ignore)
    except CheckpointError:  # gone since it was listed: the worker will say so
        return None


def _complete(sweep: Sweep, task_id: str, inventory: Inventory, name: str, stored: Mapping[str, Stored]) -> bool:
    """Return True where the store meets the whole request at a file and shows it under its path, without reading it."""
    known = inventory.known.get(name)
    if known is None:
        return False
    identity = Identity(known.fingerprint, task_id, sweep.arithmetic.dtype or known.dtype)
    shown = inventory.shows(name, known.fingerprint, task_id, identity.dtype, sweep.request.seed)
    return shown and not sweep.request.missing(identity, stored)


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
                check_at(measure, problem.restricted(measure.params))
            return first
        except Misuse as error:
            complaint = complaint or error
    if complaint is not None:
        raise complaint
    return first
