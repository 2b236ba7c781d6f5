"""The options of `scalecurv rank`, and the question that they put to one checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from scalecurv.cli.options import DATA, MODEL, PARAMS, PATH, check_seed, said_of, taking
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
    click.option("--seed", type=int, default=0, show_default=True, help="Of primes, residues and further inputs."),
    click.option("--memory", type=int, default=2 << 30, show_default="2 GiB", help="Bytes that matrices may take."),
    click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda", help="Where it is computed."),
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
    """The estimates by name, and the shape of J; raises Misuse and CheckpointError."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.measures.rank.rank import Rank

    check_seed(params["seed"])
    said = {**said_of(params), "loss": "mse"}  # the outputs do not know what they are trained by: any loss will do
    functional = params["functional_dimension"] and params["params"] is None  # a function has no dimension in a block
    measure = Rank(params["memory"], params["output"], functional, params=params["params"])
    arithmetic = Arithmetic("float64", params["device"], memory=params["memory"])  # data as given, not rounded
    findings, shape = ask_checkpoint(params["checkpoint"], said, measure, arithmetic, params["seed"])
    return {name: estimate for (name, _), estimate in findings.by_component.items()}, shape


def ask_checkpoint(
    path: Path, said: Mapping[str, Any], measure: "Measure", arithmetic: "Arithmetic", seed: int
) -> tuple["Findings", tuple[int, int]]:
    """The findings at one checkpoint, and the shape (N D, P) of its Jacobian; raises Misuse and CheckpointError."""
    from scalecurv.analysis import check_point
    from scalecurv.checkpoints.common_task import common_task
    from scalecurv.checkpoints.load import is_directory_checkpoint
    from scalecurv.engine.dispatch import Resources, check_device
    from scalecurv.measures.evaluation import Evaluation

    check_device(Resources(device=arithmetic.device))
    if path.is_dir() and not is_directory_checkpoint(path):
        raise Misuse(f"{path} is a directory of checkpoints; give one of them, or use scalecurv analyze")
    task, (file,) = common_task((path,), said, seed)
    problem = task.at(task.load(file), arithmetic)[0].restricted(measure.params)
    measure.check(problem)
    evaluation = Evaluation(problem, seed)
    check_point(evaluation)
    return measure.compute(evaluation), (problem.num_data * problem.num_outputs, problem.num_params)


PROFILE = {
    "rank_1e2": "singular values > 1e-2 of the largest",
    "rank_1e3": "singular values > 1e-3 of the largest",
    "rank_1e6": "singular values > 1e-6 of the largest",
    "stable_rank": "stable rank, |J|_F^2 / sigma_1^2",
    "jacobian_participation_ratio": "participation ratio of J'J",
}
CEILINGS = {
    "rank_generic": "rank at almost all parameters of the cell",
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
    """A line a number; `shape` is that of J, (N D, P)."""
    rank = estimates["rank"]
    rows: list[tuple[str, ...]] = [("J, samples x outputs by parameters", f"{shape[0]} x {shape[1]}", "")]
    rows += [("rank of J", str(rank), f"{rank.status}, {rank.method}")]
    for names in (PROFILE, CEILINGS):
        rows += [
            (said, str(estimates[name]), _method(estimates[name])) for name, said in names.items() if name in estimates
        ]
    lines = _columns(rows)
    if all(name in estimates and estimates[name].status is Status.EXACT for name in list(ENTRIES)[1:]):
        entries = [(f"  {said}", f"{estimates[name].value:.0f}") for name, said in ENTRIES.items()]
        lines += ["", *_columns([("Where the parameters go", f"{shape[1]}"), *entries])]
    return "\n".join(lines) + "\n"


def _method(estimate: Estimate) -> str:
    return estimate.method if estimate.status in (Status.LOWER_BOUND, Status.CERTIFIED, Status.NOT_APPLICABLE) else ""


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    frame = pd.DataFrame(rows)
    text = [frame[0].str.ljust(frame[0].str.len().max()), frame[1].str.rjust(frame[1].str.len().max())]
    text += [frame[column] for column in frame.columns[2:]]
    return ["  ".join(cells).rstrip() for cells in zip(*text, strict=True)]
