"""One checkpoint, one measure, no store: what a command that prints its answer asks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.common_task import common_task
from scalecurv.checkpoints.load import is_directory_checkpoint
from scalecurv.checkpoints.task import Arithmetic
from scalecurv.engine.dispatch import Resources, check_device
from scalecurv.errors import Misuse
from scalecurv.measures.check import check_point
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure


def ask_checkpoint(
    path: Path, said: Mapping[str, Any], measure: Measure, arithmetic: Arithmetic, seed: int
) -> tuple[Findings, tuple[int, int]]:
    """The findings at one checkpoint, and the shape (N D, P) of its Jacobian; raises Misuse and CheckpointError."""
    check_device(Resources(device=arithmetic.device))
    if path.is_dir() and not is_directory_checkpoint(path):
        raise Misuse(f"{path} is a directory of checkpoints; give one of them, or use scalecurv analyze")
    task, (file,) = common_task((path,), said, seed)
    problem = task.at(task.load(file), arithmetic)[0].restricted(measure.params)
    measure.check(problem)
    evaluation = Evaluation(problem, seed)
    check_point(evaluation)
    return measure.ask(evaluation), (problem.num_data * problem.num_outputs, problem.num_params)
