"""`scalecurv forget`: its options, and what it says about the rows that it sets aside."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import PATH, RUN, say

if TYPE_CHECKING:
    from scalecurv.store.forget import Forgotten

LISTED = 5  # paths of one run that are printed


@click.command(cls=Command)
@click.argument("store", type=PATH)
@option("Checkpoints", "--missing", is_flag=True, help="Forget those whose file is not there.")
@option("Checkpoints", "--run", default="", metavar="RUN", help="Forget those of this run, given by path or name.")
@option("Checkpoints", "--task", default="", metavar="TASK", help="Forget those of this task, a task_id or its start.")
@option(RUN, "--dry-run", is_flag=True, help="Print what would be forgotten, and change nothing.")
def forget(store: Path, missing: bool, run: str, task: str, dry_run: bool) -> None:
    """Set aside the rows of checkpoints: those that match all of --missing, --run and --task that are given.

    Nothing is destroyed: the rows move to a file in STORE/forgotten, and the command prints how to bring them back.
    --missing leaves a run alone of which no file is there, as its disk may not be mounted, unless --run names it.

    Example: scalecurv forget results --missing --dry-run
    """
    from scalecurv.store.forget import forget as set_aside

    result = set_aside(store, missing, run, task, dry_run)
    for reason in result.broken.values():
        say(f"left out: {reason}")
    for line in _lines(store, result, task, dry_run):
        click.echo(line)


def _lines(store: Path, result: "Forgotten", task: str, dry_run: bool) -> Iterator[str]:
    for name, count in result.left_alone.items():
        again = ["scalecurv", "forget", str(store), "--missing", "--run", name, *(["--task", task] if task else [])]
        yield (
            f"left alone: {count} checkpoint(s) of {name}, of which no file is there (is its disk mounted?); "
            f"to forget them all the same: {shlex.join(again)}"
        )
    for name, rows in result.checkpoints.groupby("run"):
        paths = rows["path"].drop_duplicates().tolist()
        more = f", and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
        yield f"{len(rows)} checkpoint(s) of {name}: {', '.join(paths[:LISTED])}{more}"
    total = f"{len(result.checkpoints)} checkpoint(s) with {result.estimates} estimate(s)"
    if result.checkpoints.empty:
        yield "nothing to forget"
    elif dry_run or result.file is None:
        yield f"{total} would be set aside"
    else:
        yield f"{total} set aside in {result.file}"
        yield f"to bring them back: {shlex.join(['mv', str(result.file), str(store / 'parts')])}/"
