"""The command that exports a store: to a file of another kind, or to a tracker of trainings."""

import re
from pathlib import Path

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import OUTPUT, say
from scalecurv.cli.store import ALL_COLUMNS, STORE
from scalecurv.errors import Misuse

TRACKERS = ("tensorboard", "mlflow")


@click.command(cls=Command)
@STORE
@click.argument("target")
@option(OUTPUT, "--table", metavar="NAME", help="Write this table to a file.  [default: results]")
@ALL_COLUMNS
@option(
    "Tracker",
    "--to",
    "tracker",
    type=click.Choice(TRACKERS),
    metavar="|".join(TRACKERS),
    help="Write event files below the folder TARGET, or runs to MLflow at TARGET: a folder, or http://host:5000.",
)
@option("Tracker", "--experiment", metavar="NAME", help="Name the experiment of MLflow.  [default: scalecurv]")
def export(
    store: Path, target: str, table: str | None, all_columns: bool, tracker: str | None, experiment: str | None
) -> None:
    """Write STORE to TARGET: a file .parquet, .csv, .nc or .h5, event files of TensorBoard, or runs of MLflow.

    In .nc and .h5 every column has its unit and the words that define it, and run and step are coordinates. Trackers
    get each number with the ends of its interval, such as curvature/trace and curvature/trace_upper, over steps; a
    second export takes the place of the first.

    Example: scalecurv export results results.parquet

    Example: scalecurv export results --to tensorboard logs
    """
    from scalecurv.results.query import open_store

    if tracker is not None and (table is not None or all_columns):
        raise Misuse(f"{'--table' if table else '--all-columns'} is for files; leave it out with --to {tracker}")
    if experiment is not None and tracker != "mlflow":
        raise Misuse("--experiment is for --to mlflow; leave it out")
    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    if tracker is None:
        from scalecurv.results.export import export as write

        rows = write(opened, Path(target), table or "results", all_columns)
        click.echo(f"{rows} row(s) of {table or 'results'} in {target}")
        return
    from scalecurv.results.trackers.event_files import export_events
    from scalecurv.results.trackers.mlflow_runs import EXPERIMENT, export_runs

    if tracker == "tensorboard":
        done = export_events(opened, Path(target))
    else:
        done = export_runs(opened, target, experiment or EXPERIMENT)
    for reason, count in done.left_out.items():
        say(f"left out: {count} checkpoint(s) {reason}")
    if done.replaced:
        say(f"written anew, as MLflow keeps numbers that have changed since: {done.replaced} run(s)")
    look = f"; see `tensorboard --logdir {target}`" if tracker == "tensorboard" else ""
    click.echo(f"wrote {done} to {re.sub(r'//[^/@]*@', '//', target)}{look}")  # without a password
