"""The command `scalecurv report`: a store as one HTML file."""

from pathlib import Path

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import OUTPUT, PATH, say


@click.command(cls=Command)
@click.argument("store", type=PATH)
@click.argument("page", type=PATH, metavar="OUT.html")
@option(OUTPUT, "--where", metavar="SQL", help="Report on the rows of results that meet this condition.")
@option(OUTPUT, "--title", metavar="TEXT", help="Put this heading over the page.  [default: the name of the store]")
@option(
    OUTPUT,
    "--quantity",
    "quantities",
    multiple=True,
    metavar="NAME|SQL",
    help="Show this first: a quantity, or an expression over results with its interval. Repeat for more.",
)
def report(store: Path, page: Path, where: str | None, title: str | None, quantities: tuple[str, ...]) -> None:
    """Write STORE as one HTML page: pictures to point at, tables, failures, costs, words. It needs no network.

    The page shows the runs at a glance, trajectories with intervals, spectra, ranks, bounds on K and layers. Its table
    sorts, filters, and downloads with all digits.

    Example: scalecurv report results report.html

    Example: scalecurv report results share.html --quantity "lambda_max / trace" --where "step > 0"
    """
    from scalecurv.report.page import write_report
    from scalecurv.results.query import open_store

    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    click.echo(write_report(opened, page, where=where, title=title, quantities=quantities))
