"""The options of `scalecurv planes`, and the table that they ask for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from scalecurv.options import CHECKPOINTS, DATA, LOSS, MODEL, check_memory, said_of

if TYPE_CHECKING:
    import pandas as pd

_OPTIONS = (
    CHECKPOINTS,
    *DATA,
    *LOSS,
    *MODEL,
    click.option("--memory", type=int, default=2 << 30, show_default="2 GiB", help="Bytes that temporaries may take."),
    click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda", help="Where it is computed."),
    click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True),
)


def planes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments of the planes of a run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def planes_of(params: dict[str, Any]) -> tuple["pd.DataFrame", list[str]]:
    """One row for each three consecutive checkpoints, and what could not be read; raises Misuse."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.steps import planes_of_steps

    check_memory(params["memory"])
    arithmetic = Arithmetic("float64", params["device"], memory=params["memory"])
    return planes_of_steps(params["checkpoints"], said_of(params), arithmetic)
