"""`scalecurv planes`: its options, and the table of sectional curvatures that it prints."""

import sys
from typing import TYPE_CHECKING, Any

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import (
    CHECKPOINTS,
    CHOICE,
    DATA,
    LOSS,
    MODEL,
    ONE_DEVICE,
    OUTPUT,
    check_memory,
    given_options,
    memory_option,
    say,
    taking,
)
from scalecurv.errors import FAILED

if TYPE_CHECKING:
    import pandas as pd

_OPTIONS = (
    CHECKPOINTS,
    *DATA,
    *LOSS,
    *MODEL,
    *CHOICE,
    memory_option("Let temporaries take SIZE."),
    ONE_DEVICE,
    option(
        OUTPUT,
        "--format",
        "form",
        type=click.Choice(["table", "csv", "json"]),
        default="table",
        show_default=True,
        help="Print the rows in this form.",
    ),
)


@click.command(cls=Command)
@taking(*_OPTIONS)
def planes(**params: Any) -> None:
    """Print the sectional curvature of the plane of every two consecutive steps of a run, at the weights between them.

    CHECKPOINTS are directories or files. Three checkpoints of a run make a plane. Nothing is stored.

    Example: scalecurv planes runs/a --format csv
    """
    from scalecurv.results.formats import render

    table, failures = planes_of(params)
    click.echo(render(table, params["form"]), nl=False)
    for reason in failures:
        say(f"failed: {reason}")
    if failures:
        sys.exit(FAILED)


def planes_of(params: dict[str, Any]) -> tuple["pd.DataFrame", list[str]]:
    """Return a row for each three consecutive checkpoints, and a line for each that cannot be read; raises Misuse."""
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.machine import allowed
    from scalecurv.planes import planes_of_steps
    from scalecurv.sweeps.options import globs_of

    check_memory(params["memory"])
    arithmetic = Arithmetic("float64", params["device"], memory=allowed(params["memory"]))
    return planes_of_steps(params["checkpoints"], given_options(params), arithmetic, globs_of(params))
