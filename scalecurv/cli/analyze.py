"""`scalecurv analyze`: its options, the Sweep that they describe, and its messages."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from scalecurv.cli.options import (
    CHECKPOINTS,
    DATA,
    LOSS,
    MODEL,
    PARAMS,
    PATH,
    check_seed,
    given_options,
    memory_option,
    say,
    seed_option,
    taking,
)
from scalecurv.errors import FAILED, Misuse
from scalecurv.quantities import AUTO, GPUS_PER_WORKER, MAX_MATVECS, RTOL

SHARED = ("rtol", "max_matvecs", "memory", "route", "output", "functional_dimension", "params")  # of measures
OPTIONS = (
    CHECKPOINTS,
    click.argument("store", type=PATH),
    *DATA,
    *LOSS,
    *MODEL,
    click.option(
        "--measure",
        "measures",
        multiple=True,
        metavar="NAME",
        help="gradient, extremes, moments, rescaling, curvature, rank (the default), spectrum, principal or "
        "gauss_newton; repeat for more.",
    ),
    click.option("--rtol", type=float, default=RTOL, show_default=True, help="Half-width of 95 % intervals, relative."),
    click.option(
        "--max-matvecs",
        type=int,
        default=MAX_MATVECS,
        show_default=True,
        help="Hessian products a checkpoint, at most; as many again for spectrum, for principal, for gauss_newton. "
        "Products with J are apart.",
    ),
    PARAMS,
    click.option(
        "--route",
        type=click.Choice(["exact", "sampled", "generic", "dense"]),
        help="Of trace, trace_h2, curvature and the spectrum. Default: exact by structure, else dense (H written out) "
        "for no more parameters than --max-matvecs, else sampled; generic assumes nothing.",
    ),
    click.option(
        "--output",
        type=click.Choice(["logits", "prob"]),
        help="Of rank: the outputs (the default), or their softmax, under the component softmax.",
    ),
    click.option(
        "--functional-dimension",
        is_flag=True,
        default=None,
        help="Of rank: the dimension of the functions too, from Gaussian, heavy-tailed and decisive inputs.",
    ),
    seed_option("Of all random vectors, at every checkpoint."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64", "tf32"]),
        help="Of products. Default: the checkpoint's own; tf32: float32 with a GPU's coarse products.",
    ),
    click.option(
        "--device",
        default=AUTO,
        show_default=True,
        metavar="auto|cpu|cuda",
        help="Where products run; auto takes a GPU where there is one.",
    ),
    click.option("--batch-size", type=int, help="Samples in a mini-batch. Default: what --memory allows."),
    memory_option("Bytes that each worker may use for bases, and for temporaries."),
    click.option("--engine", type=click.Choice(["auto", "ray", "serial"]), default=AUTO, show_default=True),
    click.option("--address", help="Of a running Ray cluster. Default: an embedded one."),
    click.option("--workers", type=int, help="Default: one for each GPU, or for each core where there is none."),
    click.option("--threads", type=int, help="CPU threads of each worker. Default: 1 under Ray, all in serial."),
    click.option(
        "--gpus-per-worker",
        type=float,
        default=GPUS_PER_WORKER,
        show_default=True,
        help="0.5 puts two workers on each GPU.",
    ),
    click.option(
        "--plan",
        default=AUTO,
        show_default=True,
        metavar="auto|checkpoints|probes|data",
        help="What workers share out: checkpoints, the probes of each checkpoint, or the data (every worker holds a "
        "share, rank is left out). auto splits probes where workers would be idle and it pays.",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be done, what it costs and how it is shared out."),
    click.option("--follow", is_flag=True, help="Go on with the checkpoints that a running training still writes."),
    click.option("--patience", type=float, help="With --follow: end after so many seconds without a new one."),
    click.option("--rehash", is_flag=True, help="Read every checkpoint again instead of trusting size and time."),
)


@click.command()
@taking(*OPTIONS)
def analyze(**params: Any) -> None:
    """Analyse CHECKPOINTS (directories or files) into STORE; run again, it does only what is missing.

    Options that are not given come from a problem.json beside the checkpoints.

    Example: scalecurv analyze runs/a results --rtol 0.05
    """
    from scalecurv.cli.dry_run import describe
    from scalecurv.engine.dispatch import session
    from scalecurv.sweeps.follow import work_as_it_comes
    from scalecurv.sweeps.work import find_work

    sweep = sweep_of(params)
    if params["dry_run"]:
        work = find_work(sweep)
        _report_broken(work)
        for line in describe(sweep, work):
            click.echo(line)
        return
    if not params["follow"]:
        sys.exit(FAILED if _carry_out(sweep, find_work(sweep)) else 0)
    with session(sweep.resources):
        failures = [_carry_out(sweep, work) for work in work_as_it_comes(sweep, params["patience"])]
    sys.exit(FAILED if any(failures) else 0)


def _report_broken(work: Any) -> None:
    for reason in work.broken.values():
        say(f"{reason}; it is set aside, and its work done again")


def _carry_out(sweep: Any, work: Any) -> bool:
    """Do the work that is left, print what came of it, and return True where something failed."""
    from scalecurv.record import inconsistent, unmet
    from scalecurv.statistics.estimate import Status
    from scalecurv.sweeps.execute import execute

    _report_broken(work)
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


def sweep_of(params: dict[str, Any]) -> Any:
    """Return the Sweep of the parsed options; raises Misuse. It imports torch: only `analyze` calls it."""
    from scalecurv.analysis import Request
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.engine.dispatch import Resources
    from scalecurv.engine.session import inside_job
    from scalecurv.measures import DEFAULT, measures_named
    from scalecurv.measures.route import Budget
    from scalecurv.sweeps.work import Sweep

    if not params["checkpoints"]:
        raise Misuse(f"one path was given, {params['store']}; give CHECKPOINTS (one or more) and then STORE")
    _check_numbers(params)
    Budget(params["max_matvecs"])
    paths = [*params["checkpoints"], params["store"], *([params["data"]] if isinstance(params["data"], Path) else [])]
    if inside_job() and (relative := next((p for p in paths if not p.is_absolute()), None)):
        raise Misuse(f"{relative} is relative, and a job runs in a folder of Ray's own; give absolute paths")
    names = tuple(name for given in params["measures"] for name in given.split(",")) or DEFAULT
    shared = {name: params[name] for name in SHARED}
    return Sweep(
        checkpoints=params["checkpoints"],
        store=params["store"].resolve(),
        given=given_options(params),
        request=Request(measures_named(names, **shared), params["seed"]),
        arithmetic=Arithmetic(params["dtype"], "cpu", params["batch_size"], params["memory"]),
        resources=Resources(
            *(params[name] for name in ("engine", "address", "workers", "threads", "device", "gpus_per_worker", "plan"))
        ),
        rehash=params["rehash"],
    )


def _check_numbers(params: dict[str, Any]) -> None:
    if params["patience"] is not None and not params["follow"]:
        raise Misuse("--patience says when --follow ends; give --follow, or leave it out")
    for name in ("patience", "rtol", "max_matvecs", "batch_size", "memory", "workers", "threads", "gpus_per_worker"):
        value = params[name]
        if value is not None and not 0 < value < math.inf:
            raise Misuse(f"--{name.replace('_', '-')} is {value}; it must be positive and finite")
    check_seed(params["seed"])


@contextmanager
def _progress(length: int) -> Iterator[Callable[[Any], None]]:
    """Yield a function to call after each checkpoint: it moves a bar on a terminal, or prints a line to a log."""
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
