"""The commands that read, check or merge a store; none of them imports torch or Ray."""

import sys
from pathlib import Path

import click

from scalecurv.cli.options import PATH, say
from scalecurv.errors import FAILED, Misuse
from scalecurv.results.formats import FORMATS

STORE = click.argument("store", type=PATH)
DAY = 86400


@click.command()
@STORE
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def query(store: Path, sql: str, form: str) -> None:
    """Run SQL over STORE's tables: results, estimates, checkpoints, arrays, tasks, provenance, files.

    Example: scalecurv query results "select step, trace, trace_stderr from results order by step"
    """
    from scalecurv.results.formats import render
    from scalecurv.results.query import open_store

    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    rendered = render(opened.sql(sql), form)
    if isinstance(rendered, bytes) and sys.stdout.isatty():
        raise Misuse("parquet is binary; send it to a file: scalecurv query ... --format parquet > results.parquet")
    click.echo(rendered, nl=False)


@click.command()
@STORE
def show(store: Path) -> None:
    """Print what STORE holds: counts, tasks, and the main numbers with their intervals.

    Example: scalecurv show results
    """
    from scalecurv.results.query import open_store
    from scalecurv.results.summary import summary

    click.echo(summary(open_store(store)), nl=False)


@click.command()
@STORE
@click.argument("picture", type=PATH)
def plot(store: Path, picture: Path) -> None:
    """Draw loss, trace, lambda_max, K and rank over training steps into PICTURE (.png, .pdf, .svg).

    Example: scalecurv plot results curvature.png
    """
    from scalecurv.results.plot import plot_run
    from scalecurv.results.query import open_store

    plot_run(open_store(store), picture)


@click.command()
@STORE
@click.option("--seconds", type=float, default=60.0, show_default=True, help="Time limit for one file.")
def verify(store: Path, seconds: float) -> None:
    """Check every file of STORE from its first byte to its last in a separate process; exit 1 with what is wrong.

    Verifies checksums, columns, repeated rows and references. A harmful file cannot crash this program.

    Example: scalecurv verify results
    """
    from scalecurv.store.verify import set_aside_files
    from scalecurv.store.verify import verify as verdicts

    if not 0 < seconds <= DAY:
        raise Misuse(f"--seconds is {seconds}; it must be positive, and at most {DAY}")
    count, broken = 0, 0
    for verdict in verdicts(store, seconds):
        count += 1
        broken += bool(verdict.problems)
        for problem in verdict.problems:
            click.echo(f"broken: {problem}")
    for path in set_aside_files(store):
        click.echo(f"set aside earlier: {path}")
    click.echo(f"{count - broken} of {count} file(s) whole")
    if broken:
        say("scalecurv: run the same `scalecurv analyze` again: it sets broken files aside and redoes their work")
        sys.exit(FAILED)


@click.command()
@STORE
def compact(store: Path) -> None:
    """Merge STORE's loose parts into its index, store.h5, also while others read and write it.

    `analyze` does this itself where there are more than 64 parts.

    Example: scalecurv compact results
    """
    from scalecurv.store.compact import compact as merge

    merged = merge(store)
    if merged is None:
        say(f"scalecurv: another process is merging {store}; nothing to do here")
        return
    for reason in merged.broken.values():
        say(f"left out: {reason}")
    click.echo(f"{merged.parts} part(s) merged, {merged.estimates} estimates in {store / 'store.h5'}")
    if merged.broken:
        sys.exit(FAILED)


@click.command()
@STORE
@click.argument("file", type=PATH)
@click.option("--table", default="results", show_default=True, help="Or estimates, checkpoints, arrays, ...")
def export(store: Path, file: Path, table: str) -> None:
    """Write one table of STORE to FILE: .parquet, .csv, or a plain .nc or .h5 that xarray opens.

    Example: scalecurv export results results.parquet
    """
    from scalecurv.results.export import export as write
    from scalecurv.results.query import open_store

    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    click.echo(f"{write(opened, file, table)} row(s) of {table} in {file}")


STORE_COMMANDS = (query, show, plot, verify, compact, export)
