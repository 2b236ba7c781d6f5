"""`scalecurv rank`: its options, and its report on the Jacobian at one checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from scalecurv.cli.options import (
    DATA,
    MODEL,
    ONE_DEVICE,
    PARAMS,
    PATH,
    check_seed,
    given_options,
    memory_option,
    seed_option,
    taking,
)
from scalecurv.errors import Misuse
from scalecurv.statistics.estimate import Estimate, Status

if TYPE_CHECKING:
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.measures.measure import Findings, Measure

_OPTIONS = (
    click.argument("checkpoint", type=PATH),
    *DATA,
    *MODEL,
    PARAMS,
    click.option(
        "--output",
        type=click.Choice(["logits", "prob"]),
        default="logits",
        show_default=True,
        help="The rank of the outputs, or of their softmax.",
    ),
    click.option(
        "--functional-dimension/--no-functional-dimension",
        default=True,
        show_default=True,
        help="Try further inputs for the dimension of the functions: minutes where P is in the thousands.",
    ),
    seed_option("Of primes, residues and further inputs."),
    memory_option("Bytes that matrices may take."),
    ONE_DEVICE,
)


@click.command()
@taking(*_OPTIONS)
def rank(**params: Any) -> None:
    """Print the rank of the Jacobian at one CHECKPOINT, and where the other parameters go.

    `analyze --measure rank --functional-dimension` stores the same numbers for many.

    Example: scalecurv rank runs/a/step_100.pt --data runs/a/data.npz --activation relu
    """
    estimates, shape = rank_of(params)
    click.echo(rank_report(estimates, shape), nl=False)


def rank_of(params: dict[str, Any]) -> tuple[dict[str, Estimate], tuple[int, int]]:
    """Return the estimates by name, and the shape of J; raises Misuse and CheckpointError."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.measures.rank.rank import Rank

    check_seed(params["seed"])
    given = {**given_options(params), "loss": "mse"}  # J does not depend on the loss, so that any loss will do
    functional = params["functional_dimension"] and params["params"] is None  # it is defined for all parameters only
    measure = Rank(params["memory"], params["output"], functional, params=params["params"])
    arithmetic = Arithmetic("float64", params["device"], memory=params["memory"])  # data are not rounded
    findings, shape = measure_at(params["checkpoint"], given, measure, arithmetic, params["seed"])
    return {name: estimate for (name, _), estimate in findings.by_component.items()}, shape


def measure_at(
    path: Path, given: Mapping[str, Any], measure: "Measure", arithmetic: "Arithmetic", seed: int
) -> tuple["Findings", tuple[int, int]]:
    """Return the findings at one checkpoint, and the shape (N D, P) of its Jacobian; raises Misuse, CheckpointError."""
    from scalecurv.analysis import Analysis
    from scalecurv.checkpoints.common_task import common_task
    from scalecurv.checkpoints.load import is_directory_checkpoint
    from scalecurv.engine.dispatch import Resources, check_device

    check_device(Resources(device=arithmetic.device))
    if path.is_dir() and not is_directory_checkpoint(path):
        raise Misuse(f"{path} is a directory of checkpoints; give one of them, or use scalecurv analyze")
    task, (file,) = common_task((path,), given, seed)
    analysis = Analysis(task.at(task.load(file), arithmetic)[0], seed)
    findings = analysis.compute(measure)
    problem = analysis.evaluation(measure.params).problem
    return findings, (problem.num_data * problem.num_outputs, problem.num_params)


PROFILE = {
    "rank_1e2": "singular values > 1e-2 of the largest",
    "rank_1e3": "singular values > 1e-3 of the largest",
    "rank_1e6": "singular values > 1e-6 of the largest",
    "stable_rank": "stable rank, |J|_F^2 / sigma_1^2",
    "jacobian_participation_ratio": "participation ratio of J'J",
}
CEILINGS = {
    "rank_generic": "rank at almost all parameters of the region",
    "functional_dimension_lower": "functional dimension, any inputs",
    "rank_ceiling": "ceiling of the architecture, P - hidden",
    "kink_margin": "margin of the activation pattern",
}
ENTRIES = {
    "rank": "rank",
    "account_dead": "dead: touch no live unit or nonzero input",
    "account_rescaling": "rescaling: one a live hidden neuron",
    "account_data_limited": "data: too few or too alike to show",
    "account_unexplained": "unexplained: below the structural bound",
}


def rank_report(estimates: Mapping[str, Estimate], shape: tuple[int, int]) -> str:
    """Return the report, a line for each number; `shape` is that of J, (N D, P)."""
    rank = estimates["rank"]
    rows: list[tuple[str, ...]] = [("J, samples x outputs by parameters", f"{shape[0]} x {shape[1]}", "")]
    rows += [("rank of J", str(rank), f"{rank.status}, {rank.method}")]
    for names in (PROFILE, CEILINGS):
        rows += [
            (label, str(estimates[name]), _method(estimates[name]))
            for name, label in names.items()
            if name in estimates
        ]
    lines = _columns(rows)
    if all(name in estimates and estimates[name].status is Status.EXACT for name in list(ENTRIES)[1:]):
        entries = [(f"  {label}", f"{estimates[name].value:.0f}") for name, label in ENTRIES.items()]
        lines += ["", *_columns([("Where the parameters go", f"{shape[1]}"), *entries])]
    return "\n".join(lines) + "\n"


def _method(estimate: Estimate) -> str:
    return estimate.method if estimate.status in (Status.LOWER_BOUND, Status.CERTIFIED, Status.NOT_APPLICABLE) else ""


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    frame = pd.DataFrame(rows)
    text = [frame[0].str.ljust(frame[0].str.len().max()), frame[1].str.rjust(frame[1].str.len().max())]
    text += [frame[column] for column in frame.columns[2:]]
    return ["  ".join(cells).rstrip() for cells in zip(*text, strict=True)]
