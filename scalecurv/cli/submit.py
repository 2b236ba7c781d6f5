"""`scalecurv submit`: the same arguments as `analyze`, run as a Ray job."""

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from scalecurv.cli.analyze import OPTIONS
from scalecurv.cli.options import taking


@click.command()
@taking(*OPTIONS)
@click.pass_context
def submit(ctx: click.Context, **params: Any) -> None:
    """Run `analyze` with the same arguments as a Ray job, and follow its log.

    --address is that of the job server (default: http://127.0.0.1:8265).

    Example: scalecurv submit runs/a results --rtol 0.05
    """
    from scalecurv.engine.submit import submit as submit_job

    sys.exit(submit_job(absolute_arguments(ctx), params["address"], lambda text: click.echo(text, nl=False)))


def absolute_arguments(ctx: click.Context) -> list[str]:
    """Return the arguments of the command line with paths made absolute: the same request from any directory."""
    options: list[str] = []
    positional: list[str] = []
    for param in ctx.command.params:
        if ctx.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE or param.name == "address":
            continue
        value = ctx.params[param.name or ""]
        several = value if isinstance(value, tuple) else (value,)
        values = [str(v.resolve() if isinstance(v, Path) else v) for v in several]
        if isinstance(param, click.Argument):
            positional += values
        elif getattr(param, "is_flag", False):
            options.append(param.opts[0])
        else:
            options += [word for v in values for word in (param.opts[0], v)]
    return [*options, "--", *positional]
