"""The command line: arguments in, text out; every decision is made below."""

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from scalecurv import __version__
from scalecurv.errors import CheckpointError, ClusterError, Misuse, StoreError
from scalecurv.options import absolute_arguments, analysis_options, sweep_of
from scalecurv.planes_options import planes_of, planes_options
from scalecurv.rank_options import rank_of, rank_options
from scalecurv.store_commands import STORE_COMMANDS, say

FAILED, MISUSE, BUG, INTERRUPTED = 1, 2, 3, 130


class _Commands(click.Group):
    """Gives every command the same exit codes; misuse is one line on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Misuse as error:
            say(f"scalecurv: {error}")
            ctx.exit(MISUSE)
        except (StoreError, CheckpointError, ClusterError) as error:
            say(f"scalecurv: {error}")
            ctx.exit(FAILED)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("scalecurv: interrupted; what was finished is stored, and the same command goes on from there")
            ctx.exit(INTERRUPTED)
        except Exception:  # not to hide it: to print it whole, and to exit with a code of its own
            traceback.print_exc()
            say("scalecurv: this is a bug, please report it; what was finished is stored")
            ctx.exit(BUG)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="scalecurv")
def main() -> None:
    """How flat is the loss at every checkpoint, and in how many directions?"""


@main.command()
@analysis_options
def analyze(**params: Any) -> None:
    """Analyse CHECKPOINTS (directories or files) into STORE; run again, it does only what is missing.

    What is not said here comes from a problem.json beside the checkpoints.

    Example: scalecurv analyze runs/a results --rtol 0.05
    """
    from scalecurv.dry_run import describe
    from scalecurv.engine.dispatch import session
    from scalecurv.follow import plans_as_they_come
    from scalecurv.sweep import plan

    sweep = sweep_of(params)
    if params["dry_run"]:
        work = plan(sweep)
        _say_mended(work)
        for line in describe(sweep, work):
            click.echo(line)
        return
    if not params["follow"]:
        sys.exit(FAILED if _carry_out(sweep, plan(sweep)) else 0)
    with session(sweep.resources):
        failures = [_carry_out(sweep, work) for work in plans_as_they_come(sweep, params["patience"])]
    sys.exit(FAILED if any(failures) else 0)


def _say_mended(work: Any) -> None:
    for reason in work.mended.values():
        say(f"{reason}; it is set aside, and its work done again")


def _carry_out(sweep: Any, work: Any) -> bool:
    """Do what a plan left to do, and say what came of it; whether something failed."""
    from scalecurv.estimate import Status
    from scalecurv.record import inconsistent, unmet
    from scalecurv.sweep import execute

    _say_mended(work)
    if not work.todo:
        execute(sweep, work, lambda outcome: None)
        click.echo(f"everything is already there: {len(work.found)} checkpoint(s) in {sweep.store}")
        return False
    began = time.perf_counter()
    outcomes: list[Any] = []
    with _progress(len(work.todo)) as step:

        def on_outcome(outcome: Any) -> None:
            outcomes.append(outcome)
            step(outcome)

        execute(sweep, work, on_outcome)
    twins = [outcome for outcome in outcomes if outcome.status == "twin"]
    failed = [outcome for outcome in outcomes if outcome.status not in ("ok", "twin")]
    seconds, total = time.perf_counter() - began, len(outcomes) - len(twins)
    click.echo(f"{total - len(failed)} of {total} checkpoint(s) stored in {sweep.store}, {seconds:.1f} s")
    for outcome in twins:
        click.echo(f"{outcome.path} equals {outcome.error}, which stands for it")
    for name, count in unmet(outcomes).items():
        say(f"{name} is wider than --rtol at {count} of {len(outcomes)}; more --max-matvecs narrow its interval")
    for name, count in inconsistent(outcomes).items():
        say(f"{name} is inconsistent at {count} of {len(outcomes)}: {Status.INCONSISTENT.advice}")
    for outcome in failed:
        reason = outcome.error or "some measure failed, its rows say why"
        say(f"{outcome.status}: {reason if outcome.path in reason else f'{outcome.path}: {reason}'}")
    return bool(failed)


@main.command()
@analysis_options
@click.pass_context
def submit(ctx: click.Context, **params: Any) -> None:
    """Run `analyze` with the same arguments as a Ray job, and follow its log.

    --address is that of the job server (http://127.0.0.1:8265 unless said otherwise).

    Example: scalecurv submit runs/a results --rtol 0.05
    """
    from scalecurv.engine.submit import submit as submit_job

    sys.exit(submit_job(absolute_arguments(ctx), params["address"], lambda text: click.echo(text, nl=False)))


@main.command()
@rank_options
def rank(**params: Any) -> None:
    """Print the rank of the Jacobian at one CHECKPOINT, and where the other parameters go.

    `analyze --measure rank --functional-dimension` stores the same numbers for many.

    Example: scalecurv rank runs/a/step_100.pt --data runs/a/data.npz --activation relu
    """
    from scalecurv.rank_report import rank_report

    estimates, shape = rank_of(params)
    click.echo(rank_report(estimates, shape), nl=False)


@main.command()
@planes_options
def planes(**params: Any) -> None:
    """Print the sectional curvature of the plane of every two consecutive steps of a run, at the weights between them.

    CHECKPOINTS are directories, or files; three of a run make a plane. Nothing is stored.

    Example: scalecurv planes runs/a --format csv
    """
    from scalecurv.formats import render

    table, failures = planes_of(params)
    click.echo(render(table, params["form"]), nl=False)
    for reason in failures:
        say(f"failed: {reason}")
    if failures:
        sys.exit(FAILED)


for command in STORE_COMMANDS:
    main.add_command(command)


@contextmanager
def _progress(length: int) -> Iterator[Callable[[Any], None]]:
    """A bar with the time left on a terminal; a line a checkpoint in a log."""
    if sys.stderr.isatty():
        with click.progressbar(length=length, label="checkpoints", show_pos=True, file=sys.stderr) as bar:
            bar.render_progress()
            yield lambda outcome: bar.update(1)
        return
    count = 0

    def line(outcome: Any) -> None:
        nonlocal count
        count += 1
        say(f"{count}/{length} {outcome.status} {outcome.path}")

    yield line
