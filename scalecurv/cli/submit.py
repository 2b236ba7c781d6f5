"""`scalecurv submit`: the same arguments as `analyze`, run as a Ray job."""

import sys
from pathlib import Path
from typing import Any

import click

from scalecurv.cli.analyze_options import OPTIONS
from scalecurv.cli.groups import Command, given_words
from scalecurv.cli.options import taking


@click.command(cls=Command)
@taking(*OPTIONS)
@click.pass_context
def submit(ctx: click.Context, **params: Any) -> None:
    """Run `analyze` with the same arguments as a Ray job, and follow its log.

    Paths become absolute. --address is here that of the job server, http://127.0.0.1:8265 by default.

    Example: scalecurv submit runs/a results --rtol 0.05
    """
    from scalecurv.engine.submit import submit as submit_job

    sys.exit(submit_job(absolute_arguments(ctx), params["address"], lambda text: click.echo(text, nl=False)))


def absolute_arguments(ctx: click.Context) -> list[str]:
    """Return the arguments of the command line with paths made absolute: the same request from any directory."""
    options, positional = given_words(ctx, Path.resolve, leave_out=("address",))
    return [*options, "--", *positional]
