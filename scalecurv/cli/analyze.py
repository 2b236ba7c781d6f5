"""`scalecurv analyze`: the Sweep that its options describe, and its messages."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click

from scalecurv.cli.analyze_options import OPTIONS
from scalecurv.cli.groups import Command
from scalecurv.cli.logs import bars, log_to_stderr, notes
from scalecurv.cli.options import taking
from scalecurv.errors import FAILED, Misuse, NothingFound


@click.command(cls=Command)
@taking(*OPTIONS)
def analyze(**params: Any) -> None:
    """Analyse CHECKPOINTS (directories or files) and write the numbers into STORE.

    The same command, run again, computes only what is missing. A problem.json beside the checkpoints supplies the
    options of the problem and the model that are not given.

    Example: scalecurv analyze runs/a results --rtol 0.05
    """
    verbosity = params["verbose"] - params["quiet"]
    with log_to_stderr(verbosity):
        sys.exit(FAILED if _analyze(params, verbosity) else 0)


def _analyze(params: dict[str, Any], verbosity: int) -> bool:
    """Do what the options say; return True where some checkpoint failed, or the first one of a dry run would."""
    from scalecurv.cli.dry_run import describe, first_refusal
    from scalecurv.engine.dispatch import session
    from scalecurv.sweeps.follow import work_as_it_comes
    from scalecurv.sweeps.work import find_work

    sweep = sweep_of(params)
    if params["dry_run"]:
        work = find_work(sweep)
        _report_broken(work)
        for note in work.notes:
            notes.warning("%s", note)
        for line in describe(sweep, work):
            click.echo(line)
        _tell_sample(work)
        if reason := first_refusal(sweep, work):
            notes.error("failed: %s", reason)
        return bool(reason)
    if not params["follow"]:
        work = find_work(sweep)
        failures = _carry_out(sweep, work, verbosity)
        _tell_sample(work)
        return any(failures.values())
    failed: dict[str, bool] | None = None
    with session(sweep.resources), _reporter(sweep, verbosity, follows=True) as reporter:
        for work in work_as_it_comes(sweep, params["patience"]):
            # a file may be written again, and whole
            failed = {**(failed or {}), **_carry_out(sweep, work, verbosity, reporter)}
            last = work
    if failed is None:
        places = ", ".join(map(str, sweep.checkpoints))
        raise NothingFound(
            f"no checkpoint came to {places} in {params['patience']:g} s; give the directory that the training writes "
            f"to, or more --patience"
        )
    _tell_sample(last)
    return any(failed.values())


def _tell_sample(work: Any) -> None:
    """Print whose numbers these are, where they come from a sample of the data."""
    if work.todo and work.task.of_sample:
        notes.warning("%s", work.task.of_sample)


def _report_broken(work: Any) -> None:
    for reason in work.broken.values():
        notes.warning("%s; it is set aside, and its work done again", reason)


@contextmanager
def _reporter(sweep: Any, verbosity: int, follows: bool = False) -> Iterator[Any]:
    """Yield the Reporter of a sweep, which draws bars where there is a terminal."""
    from scalecurv.sweeps.reporter import Reporter

    with bars(verbosity) as show, Reporter(sweep.store, show, follows) as reporter:
        yield reporter


def _carry_out(sweep: Any, work: Any, verbosity: int, reporter: Any = None) -> dict[str, bool]:
    """Do the work that is left, print what came of it, and return for each path whether something failed there."""
    from scalecurv.sweeps.execute import execute

    answer = click.echo if verbosity >= 0 else lambda line: None
    _report_broken(work)
    if not work.todo:
        execute(sweep, work, lambda outcome: None)
        answer(f"everything is already there: {len(work.found)} checkpoint(s) in {sweep.store}")
        return {}
    began = time.perf_counter()
    outcomes: list[Any] = []
    with nullcontext(reporter) if reporter else _reporter(sweep, verbosity) as telling:
        execute(sweep, work, outcomes.append, telling)
    twins = [outcome for outcome in outcomes if outcome.status == "twin"]
    failed = [outcome for outcome in outcomes if outcome.status not in ("ok", "twin")]
    seconds, total = time.perf_counter() - began, len(outcomes) - len(twins)
    engines = ", then ".join(dict.fromkeys(outcome.engine for outcome in outcomes))
    stored = f"{total - len(failed)} of {total} checkpoint(s) stored in {sweep.store}"
    answer(f"{stored}, {seconds:.1f} s on engine {engines}")
    for outcome in twins:
        answer(f"{outcome.path} equals {outcome.error}, which stands for it")
    _report(outcomes, failed, sweep.request.from_samples)
    return {outcome.path: outcome.status not in ("ok", "twin") for outcome in outcomes}


def _report(outcomes: list[Any], failed: list[Any], from_samples: bool) -> None:
    """Print the numbers that are wider than asked or inconsistent, and the failures.

    `from_samples` is True where some numbers were estimated from samples of the data.
    """
    from scalecurv.record import inconsistent, unmet
    from scalecurv.statistics.estimate import Status

    for name, count in unmet(outcomes).items():
        more = "--from-samples, or more --max-matvecs," if from_samples else "--max-matvecs"
        said = "%s is wider than --rtol at %d of %d; more %s narrow its interval"
        notes.warning(said, name, count, len(outcomes), more)
    for name, count in inconsistent(outcomes).items():
        notes.warning("%s is inconsistent at %d of %d: %s", name, count, len(outcomes), Status.INCONSISTENT.advice)
    for outcome in failed:
        reason = outcome.reason or "some measure failed, its rows say why"
        notes.error("%s: %s", outcome.status, reason if outcome.path in reason else f"{outcome.path}: {reason}")


def sweep_of(params: dict[str, Any]) -> Any:
    """Return the Sweep of the parsed options; raises Misuse. It imports torch: only `analyze` calls it."""
    from scalecurv.checkpoints.run_attributes import attribute_patterns
    from scalecurv.sweeps.options import sweep_of

    if not params["checkpoints"]:
        raise Misuse(f"one path was given, {params['store']}; give CHECKPOINTS (one or more) and then STORE")
    measures = tuple(name for given in params["measures"] for name in given.split(","))
    attributes = attribute_patterns(params["run_attributes"])
    return sweep_of({**params, "measures": measures, "run_attributes": attributes})
