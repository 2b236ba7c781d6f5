"""The planes of two consecutive steps of a training run, and their sectional curvature at the weights between."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from scalecurv.analysis import Analysis
from scalecurv.checkpoints.common_task import common_task
from scalecurv.checkpoints.discover import EVERY, Globs
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.step import run_of, step_and_epoch
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.resources import Resources, check_device
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.principal.planes import NoPlane, sectional_curvature_at

COLUMNS = ("run", "before", "step", "after", "sectional_curvature", "cosine", "length_in", "length_out", "beta")


def planes_of_steps(
    paths: Sequence[Path], given: Mapping[str, Any], arithmetic: Arithmetic, globs: Globs = EVERY
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row for each checkpoint between two others of its run, by step, and a line for each unusable file.

    With u = theta_t - theta_(t-1) and v = theta_(t+1) - theta_t, a row holds the sectional curvature of their plane at
    theta_t (null where they are parallel), the cosine of their angle, |u|, |v| and beta. Raises Misuse.
    """
    check_device(Resources(device=arithmetic.device))
    if not paths:
        raise Misuse("no path was given; give a directory of checkpoints, or three checkpoint files of one run")
    task, files = common_task(paths, given, globs=globs, memory=arithmetic.memory)
    runs, failures = _by_run(files, task)
    rows = []
    for run, ordered in runs.items():
        for three in zip(ordered, ordered[1:], ordered[2:], strict=False):
            files = [file for file in three if file is not None]
            if len(files) < len(three):  # a gap: what lies on its two sides is not consecutive
                continue
            try:
                rows.append({"run": run, **_plane([task.load(file) for file in files], task, arithmetic)})
            except CheckpointError as error:
                failures.append(str(error))
    if not rows and not failures:
        raise Misuse("a plane takes three checkpoints of one run; give more of them")
    return pd.DataFrame(rows, columns=list(COLUMNS)), failures


def _by_run(files: Sequence[Path], task: Task) -> tuple[dict[str, list[Path | None]], list[str]]:
    """Return the files of each run by step, those without a step by name after them, None for an unusable file."""
    runs: dict[str, list[tuple[float, Path | None]]] = defaultdict(list)
    failures = []
    for file in files:
        found: Path | None = file
        try:
            step = task.load(file).step
        except CheckpointError as error:
            failures.append(str(error))
            found, (step, _) = None, step_and_epoch({}, file.stem, file.parent.name)
        runs[run_of(file)].append((math.inf if step is None else step, found))
    return {
        run: [file for _, file in sorted(members, key=lambda member: member[0])] for run, members in runs.items()
    }, failures


def _plane(three: Sequence[Checkpoint], task: Task, arithmetic: Arithmetic) -> dict[str, Any]:
    before, here, after = (task.at(checkpoint, arithmetic)[0] for checkpoint in three)
    if not before.space.shapes == here.space.shapes == after.space.shapes:
        raise CheckpointError(f"{three[1].path} has neighbours of another shape; give the checkpoints of one run")
    u, v = here.theta - before.theta, after.theta - here.theta
    sizes = [float(step.abs().max()) for step in (u, v)]  # apart, so that no square overflows
    units = [step / size for step, size in zip((u, v), sizes, strict=True)]
    lengths = [size * float(torch.linalg.vector_norm(unit)) for size, unit in zip(sizes, units, strict=True)]
    evaluation = Analysis(here).evaluation()
    names = ("before", "step", "after")
    return {
        **{name: c.path.name if c.step is None else c.step for name, c in zip(names, three, strict=True)},
        "sectional_curvature": _curvature(evaluation, u, v) if all(sizes) else math.nan,
        "cosine": float(torch.cosine_similarity(units[0], units[1], dim=0)) if all(sizes) else math.nan,
        "length_in": lengths[0] if sizes[0] else 0.0,
        "length_out": lengths[1] if sizes[1] else 0.0,
        "beta": gradient_facts(evaluation, double=True).beta,
    }


def _curvature(evaluation: Evaluation, u: Tensor, v: Tensor) -> float:
    try:
        return sectional_curvature_at(evaluation, u, v).value
    except NoPlane:
        return math.nan
