"""The task that all checkpoints of a sweep share, in one directory or several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import realpath
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.discover import EVERY, Globs, discover, root_of, roots_of
from scalecurv.checkpoints.problem_file import FILE_NAME, ProblemSpec, read_spec
from scalecurv.checkpoints.task import Task
from scalecurv.errors import Misuse
from scalecurv.quantities import SEED

TRIED = 3  # checkpoints of a folder that tell whether it holds MLPs, where nothing else does


def common_task(
    paths: Sequence[Path],
    given: Mapping[str, Any],
    seed: int = SEED,
    globs: Globs = EVERY,
    memory: int | None = None,
) -> tuple[Task, list[Path]]:
    """Return the task that the given options and problem.json define, and the checkpoints below `paths`, by `globs`.

    The nearest problem.json above a checkpoint, inside the path that was given, describes it. Raises Misuse where two
    of them describe different problems; data is compared by content, not by path.
    """
    found = discover(paths, globs=globs)
    roots = roots_of(paths)
    folders: dict[Path, list[Path]] = {}
    for file in found:
        folders.setdefault(_describing(file, roots), []).append(file)
    tasks = _tasks({folder: read_spec(folder, given, files[:TRIED]) for folder, files in folders.items()}, seed, memory)
    first, *others = tasks
    for folder in others:
        if tasks[folder].id != tasks[first].id:
            raise Misuse(
                f"{first / FILE_NAME} and {folder / FILE_NAME} describe different problems; analyse their "
                f"directories one after the other, into one store if you like"
            )
    data = {source for folder in folders for source in [tasks[folder].spec.data] if isinstance(source, Path)}
    places = {place for file in (Path(realpath(file)) for file in found) for place in (file, *file.parents)}
    among = places.intersection(Path(realpath(source)) for source in data)  # data that look like checkpoints
    return tasks[first], discover(paths, sorted(data), globs) if among else found


def _tasks(specs: Mapping[Path, ProblemSpec], seed: int, memory: int | None) -> dict[Path, Task]:
    """Return a task for each folder; data that several of them share is read once."""
    read: dict[Any, Task] = {}
    for spec in specs.values():
        source = (spec.data, spec.split, spec.max_samples)
        if source not in read:
            read[source] = Task.read(spec, seed, memory)
    return {f: replace(read[spec.data, spec.split, spec.max_samples], spec=spec) for f, spec in specs.items()}


def _describing(file: Path, roots: Sequence[Path]) -> Path:
    """Return the nearest directory above `file` with a problem.json, inside the root that holds it; else that root."""
    root = root_of(file, roots)
    above = [folder for folder in file.parents if folder == root or root in folder.parents]
    return next((folder for folder in above if (folder / FILE_NAME).is_file()), root)
