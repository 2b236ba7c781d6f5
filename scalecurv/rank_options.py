"""The options of `scalecurv rank`, and the question that they put to one checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalecurv.errors import Misuse
from scalecurv.estimate import Estimate

_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.argument("checkpoint", type=_PATH),
    click.option("--data", type=_PATH, help="File with arrays x and y: .npz, .pt, .safetensors or .h5."),
    click.option("--model", metavar="mlp|PKG.MOD:FACTORY", help="How to build the model. Default: mlp, from shapes."),
    click.option("--activation", metavar="NAME", help="Between an MLP's layers: relu, tanh, gelu, ..."),
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
        help="Try further inputs for the dimension of the functions.",
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

    if not 0 <= params["seed"] < 2**63:
        raise Misuse(f"--seed is {params['seed']}; it must be from 0 to 2^63 - 1")
    said = {name: params[name] for name in ("data", "model", "activation")}
    said["loss"] = "mse"  # the outputs do not know what they are trained by: any loss that takes the targets will do
    measure = Rank(params["memory"], params["output"], params["functional_dimension"])
    arithmetic = Arithmetic("float64", params["device"], memory=params["memory"])  # data as given, not rounded
    findings, shape = ask_checkpoint(params["checkpoint"], said, measure, arithmetic, params["seed"])
    return {name: estimate for (name, _), estimate in findings.by_component.items()}, shape
