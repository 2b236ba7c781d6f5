"""`scalecurv watch`: a store that is being written, in a terminal."""

import math
from contextlib import suppress
from pathlib import Path

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import OUTPUT, PATH
from scalecurv.errors import Misuse


@click.command(cls=Command)
@click.argument("store", type=PATH)
@option(
    OUTPUT,
    "--quantity",
    "quantities",
    multiple=True,
    metavar="NAME",
    help="Show this quantity; repeat for more. Default: loss, trace, lambda_max, scalar_curvature and rank.",
)
@option("Watch", "--once", is_flag=True, help="Print what is there now, and end.")
@option(
    "Watch",
    "--interval",
    type=float,
    default=2.0,
    show_default=True,
    metavar="S",
    help="Look again after so many seconds.",
)
def watch(store: Path, quantities: tuple[str, ...], once: bool, interval: float) -> None:
    """Show what STORE holds and what is computed for it now, drawn again as it grows; end with Ctrl-C.

    Shows the runs with the course of their numbers, the last ones with their intervals, what is computed at which
    checkpoint, the time that is left, and what failed. It only reads. Without a terminal it prints once.

    Example: scalecurv watch results --quantity lambda_max
    """
    from scalecurv.watch.live import watch as draw

    if not 0 < interval < math.inf:
        raise Misuse(f"--interval is {interval:g}; it must be positive and finite")
    names = tuple(dict.fromkeys(name.strip() for given in quantities for name in given.split(",")))
    with suppress(KeyboardInterrupt):  # how it is meant to end: no work is interrupted
        draw(store, names, once, interval)
