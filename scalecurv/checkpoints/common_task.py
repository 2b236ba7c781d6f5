"""The one task of all checkpoints of a sweep, however many directories they lie in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.discover import discover
from scalecurv.checkpoints.load import is_directory_checkpoint
from scalecurv.checkpoints.problem_file import FILE_NAME, ProblemSpec, read_spec
from scalecurv.checkpoints.task import Task
from scalecurv.errors import Misuse


def common_task(paths: Sequence[Path], said: Mapping[str, Any], seed: int = 0) -> tuple[Task, list[Path]]:
    """The task that options and every problem.json agree on, and the checkpoints below `paths`.

    Each checkpoint is described by the nearest problem.json above it, inside the directory that was given. Raises
    Misuse where two of them describe different problems: data counts by content, not by where it lies.
    """
    folders = {_describing(file, paths): file for file in discover(paths)}
    tasks = _tasks({folder: read_spec(folder, said) for folder in folders}, seed)
    first, *others = tasks
    for folder in others:
        if tasks[folder].id != tasks[first].id:
            raise Misuse(
                f"{first / FILE_NAME} and {folder / FILE_NAME} describe different problems; analyse their "
                f"directories one after the other, into one store if you like"
            )
    data = {source for folder in folders for source in [tasks[folder].spec.data] if isinstance(source, Path)}
    return tasks[first], discover(paths, exclude=sorted(data))


def _tasks(specs: Mapping[Path, ProblemSpec], seed: int) -> dict[Path, Task]:
    """A task for each folder; what several of them take their loss over is read once."""
    read: dict[Any, Task] = {}
    for spec in specs.values():
        source = (spec.data, spec.split, spec.max_samples)
        if source not in read:
            read[source] = Task.read(spec, seed)
    return {f: replace(read[spec.data, spec.split, spec.max_samples], spec=spec) for f, spec in specs.items()}


def _describing(file: Path, paths: Sequence[Path]) -> Path:
    """The nearest directory above `file` with a problem.json, no higher than what was given; else what was given."""
    given = [path.resolve() for path in paths]
    roots = [path if path.is_dir() and not is_directory_checkpoint(path) else path.parent for path in given]
    root = next(root for root in roots if root in file.parents)
    above = [folder for folder in file.parents if folder == root or root in folder.parents]
    return next((folder for folder in above if (folder / FILE_NAME).is_file()), root)
