"""`scalecurv rank`: its options, and the rank of the Jacobian at one checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import (
    DATA,
    MEASURES,
    MODEL,
    ONE_DEVICE,
    PARAMS,
    PATH,
    RANK_SAMPLES,
    check_seed,
    given_options,
    memory_option,
    say,
    seed_option,
    taking,
)
from scalecurv.errors import Misuse

if TYPE_CHECKING:
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.measures.measure import Findings, Measure
    from scalecurv.measures.rank.report import RankReport

_OPTIONS = (
    click.argument("checkpoint", type=PATH),
    *DATA,
    *MODEL,
    PARAMS,
    option(
        MEASURES,
        "--output",
        type=click.Choice(["logits", "prob"]),
        default="logits",
        show_default=True,
        help="Take the rank of the outputs, or of their softmax.",
    ),
    option(
        MEASURES,
        "--functional-dimension/--no-functional-dimension",
        default=True,
        show_default=True,
        help="Try further inputs for the dimension of the functions. It takes minutes for thousands of parameters.",
    ),
    option(
        MEASURES,
        "--singular-values",
        is_flag=True,
        help="Print all singular values of J too. They take a decomposition.",
    ),
    RANK_SAMPLES,
    seed_option("Draw primes, residues and further inputs from the seed N."),
    memory_option("Let matrices take SIZE."),
    ONE_DEVICE,
)


@click.command(cls=Command)
@taking(*_OPTIONS)
def rank(**params: Any) -> None:
    """Print the rank of the Jacobian at one CHECKPOINT, and where the other parameters go.

    `analyze --measure rank --functional-dimension` stores the same numbers for many checkpoints.

    Example: scalecurv rank runs/a/step_100.pt --data runs/a/data.npz --activation relu
    """
    click.echo(str(rank_of(params)))


def rank_of(params: dict[str, Any]) -> "RankReport":
    """Return the report on one checkpoint; raises Misuse and CheckpointError."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.machine import allowed
    from scalecurv.measures.rank.rank import Rank
    from scalecurv.measures.rank.report import RankReport

    check_seed(params["seed"])
    given = {**given_options(params), "loss": "mse"}  # J does not depend on the loss, so that any loss will do
    functional = params["functional_dimension"] and params["params"] is None  # it is defined for all parameters only
    memory = allowed(params["memory"])
    asked = {"singular_values": params["singular_values"] or None, "rank_samples": params["rank_samples"]}
    measure = Rank(memory, params["output"], functional, **asked, params=params["params"])
    arithmetic = Arithmetic("float64", params["device"], memory=memory)  # data are not rounded
    return RankReport.of(*measure_at(params["checkpoint"], given, measure, arithmetic, params["seed"]))


def measure_at(
    path: Path, given: Mapping[str, Any], measure: "Measure", arithmetic: "Arithmetic", seed: int
) -> tuple["Findings", tuple[int, int]]:
    """Return the findings at one checkpoint, and the shape (N D, P) of its Jacobian; raises Misuse, CheckpointError."""
    from scalecurv.analysis import Analysis
    from scalecurv.checkpoints.common_task import common_task
    from scalecurv.checkpoints.load import is_directory_checkpoint
    from scalecurv.checkpoints.model import left_out_of
    from scalecurv.engine.resources import Resources, check_device

    check_device(Resources(device=arithmetic.device))
    if path.is_dir() and not is_directory_checkpoint(path):
        raise Misuse(f"{path} is a directory of checkpoints; give one of them, or use scalecurv analyze")
    task, (file,) = common_task((path,), given, seed)
    problem, architecture = task.at(task.load(file), arithmetic)
    if left_out := left_out_of(architecture):
        say(f"no part of the model, left out: {', '.join(left_out)}")
    analysis = Analysis(problem, seed)
    findings = analysis.compute(measure)
    problem = analysis.evaluation(measure.params).problem
    return findings, (problem.num_data * problem.num_outputs, problem.num_params)
