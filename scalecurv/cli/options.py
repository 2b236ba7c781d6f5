"""The arguments that several commands share, their checks, and the options that define the problem."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalecurv.errors import Misuse
from scalecurv.quantities import DEVICE, MEMORY, SEED
from scalecurv.user_code import names_code

PATH = click.Path(path_type=Path)


class _Source(click.ParamType):
    """A path, or user code pkg.mod:name."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if isinstance(value, Path) or names_code(value) else Path(value)


CHECKPOINTS = click.argument("checkpoints", nargs=-1, type=PATH, metavar="CHECKPOINTS...")
LOSS = (
    click.option(
        "--loss",
        metavar="mse|cross_entropy|logistic|PKG.MOD:FUNCTION",
        help="The loss that was trained; a function of (f, y) returns one number a sample.",
    ),
    click.option("--reduction", metavar="mean|sum", help="Over samples. Default: mean."),
    click.option("--weight-decay", type=float, help="w in w |theta|^2 / 2, added to the loss. Default: 0."),
)
DATA = (
    click.option(
        "--data",
        type=_Source(),
        metavar="PATH|PKG.MOD:FACTORY",
        help="Arrays x and y: .npz, .pt, .safetensors, .h5, .parquet, a directory of these, or a torch Dataset's name.",
    ),
    click.option("--split", metavar="NAME", help="Of the data: train, test, ... Default: what has no name."),
    click.option("--max-samples", type=int, help="No more than so many, drawn by --seed. Default: all."),
)
MODEL = (
    click.option("--model", metavar="mlp|PKG.MOD:FACTORY", help="How to build the model. Default: mlp, from shapes."),
    click.option("--activation", metavar="NAME", help="Between an MLP's layers: relu, tanh, gelu, ..."),
    click.option(
        "--allow-global",
        "allow",
        multiple=True,
        metavar="NAME",
        help="A class that checkpoints may hold, as argparse.Namespace; repeat for more. Nothing else is ever run.",
    ),
)
PARAMS = click.option(
    "--params",
    metavar="REGEX",
    help="Free only the parameters in whose names this is found, as 'weight$': every measure is of that block.",
)
PROBLEM = ("data", "split", "max_samples", "loss", "reduction", "weight_decay", "model", "activation", "allow")


MEMORY_SIZE = f"{MEMORY >> 30} GiB"


def seed_option(help: str) -> Callable[[Any], Any]:
    """Return the option --seed, with a help text that says which random numbers it draws."""
    return click.option("--seed", type=int, default=SEED, show_default=True, help=help)


def memory_option(help: str) -> Callable[[Any], Any]:
    """Return the option --memory, with a help text that says which bytes it limits."""
    return click.option("--memory", type=int, default=MEMORY, show_default=MEMORY_SIZE, help=help)


ONE_DEVICE = click.option(
    "--device", default=DEVICE, show_default=True, metavar="cpu|cuda", help="Where it is computed."
)


def taking(*options: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command these arguments and options, in this order."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def say(text: str) -> None:
    """Print a line to stderr, for all that is not part of the answer."""
    click.echo(text, err=True)


def given_options(params: dict[str, Any]) -> dict[str, Any]:
    """Return the options that define the problem, by the names of ProblemSpec, None for those that were not given."""
    return {name: params.get(name) or None if name == "allow" else params.get(name) for name in PROBLEM}


def check_memory(memory: int) -> None:
    """Raise Misuse where `memory` is not positive."""
    if memory < 1:
        raise Misuse(f"--memory is {memory}; it must be at least 1")


def check_seed(seed: int) -> None:
    """Raise Misuse where no random generator takes `seed`."""
    if not 0 <= seed < 2**63:
        raise Misuse(f"--seed is {seed}; it must be from 0 to 2^63 - 1")
