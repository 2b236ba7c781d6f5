"""The commands that read, check or merge a store; none of them imports torch or Ray."""

import re
import sys
from pathlib import Path

import click

from scalecurv.cli.forget import forget
from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import OUTPUT, PATH, say
from scalecurv.cli.plot import plot
from scalecurv.display import printable
from scalecurv.errors import FAILED, Misuse
from scalecurv.results import FORMATS

STORE = click.argument("store", type=PATH)
ALL_COLUMNS = option(OUTPUT, "--all-columns", is_flag=True, help="Keep columns of results that are null everywhere.")
DAY = 86400
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")  # as JSON writes numbers: 007 is the name of something


@click.command(cls=Command)
@STORE
@click.argument("sql")
@option(
    "Query",
    "-p",
    "--param",
    "params",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Give $NAME in the query this value; numbers stay numbers. Repeat for more.",
)
@option(
    OUTPUT,
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    metavar="FORM",
    help=f"Print the rows as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
)
@ALL_COLUMNS
def query(store: Path, sql: str, params: tuple[tuple[str, str], ...], form: str, all_columns: bool) -> None:
    """Run SQL over STORE's tables: results, long, estimates, checkpoints and others.

    "show tables" lists them, and "describe results" lists the columns of one. `results` has the columns that some
    checkpoint fills, and those that the query names.

    Example: scalecurv query results "select step, trace, trace_stderr from results order by step"

    Example: scalecurv query results 'select * from results where run = $run' -p run /runs/a
    """
    from scalecurv.results.formats import render
    from scalecurv.results.query import open_store

    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    values = {name.removeprefix("$"): _value(text) for name, text in params}
    rendered = render(opened.sql(sql, values, all_columns), form)
    if isinstance(rendered, bytes) and sys.stdout.isatty():
        raise Misuse("parquet is binary; send it to a file: scalecurv query ... --format parquet > results.parquet")
    click.echo(rendered, nl=False)


def _value(text: str) -> str | int | float:
    """Return the number that a value is, else the text."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match[2] or match[3] else int(text)


@click.command(cls=Command)
@STORE
@ALL_COLUMNS
def show(store: Path, all_columns: bool) -> None:
    """Print what STORE holds: counts, tasks, and the main numbers with their intervals.

    Example: scalecurv show results
    """
    from scalecurv.results.query import open_store
    from scalecurv.results.summary import summary

    click.echo(printable(summary(open_store(store), all_columns)), nl=False)


@click.command(cls=Command)
@STORE
@option("Check", "--seconds", type=float, default=60.0, show_default=True, metavar="S", help="Time limit for one file.")
def verify(store: Path, seconds: float) -> None:
    """Check every file of STORE from its first byte to its last in a separate process; exit 1 with what is wrong.

    Verifies checksums, columns, repeated rows and references. A harmful file cannot crash this program.

    Example: scalecurv verify results
    """
    from scalecurv.store.reader import FORGOTTEN
    from scalecurv.store.verify import set_aside_files
    from scalecurv.store.verify import verify as verdicts

    if not 0 < seconds <= DAY:
        raise Misuse(f"--seconds is {seconds}; it must be positive, and at most {DAY}")
    count, broken = 0, []
    for verdict in verdicts(store, seconds):
        count += 1
        broken += [verdict.path] if verdict.problems else []
        for problem in verdict.problems:
            click.echo(f"broken: {problem}")
    for path in set_aside_files(store):
        click.echo(f"set aside earlier: {path}")
    click.echo(f"{count - len(broken)} of {count} file(s) whole")
    forgotten = [path for path in broken if path.parent.name == FORGOTTEN]
    if forgotten:
        say(f"scalecurv: rows that are set aside in a broken file cannot be brought back; delete {forgotten[0]}")
    if len(forgotten) < len(broken):
        say("scalecurv: run the same `scalecurv analyze` again: it sets broken files aside and redoes their work")
    if broken:
        sys.exit(FAILED)


@click.command(cls=Command)
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


STORE_COMMANDS = (query, show, plot, verify, compact, forget)
