"""The options of `scalecurv rank`, and the question that they put to one checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalecurv.estimate import Estimate
from scalecurv.options import DATA, MODEL, PARAMS, check_seed, said_of

_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.argument("checkpoint", type=_PATH),
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


def rank_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments of one rank."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rank_of(params: dict[str, Any]) -> tuple[dict[str, Estimate], tuple[int, int]]:
    """The estimates by name, and the shape of J; raises Misuse and CheckpointError."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.measures.rank import Rank
    from scalecurv.single import ask_checkpoint

    check_seed(params["seed"])
    said = {**said_of(params), "loss": "mse"}  # the outputs do not know what they are trained by: any loss will do
    functional = params["functional_dimension"] and params["params"] is None  # a function has no dimension in a block
    measure = Rank(params["memory"], params["output"], functional, params=params["params"])
    arithmetic = Arithmetic("float64", params["device"], memory=params["memory"])  # data as given, not rounded
    findings, shape = ask_checkpoint(params["checkpoint"], said, measure, arithmetic, params["seed"])
    return {name: estimate for (name, _), estimate in findings.by_component.items()}, shape
