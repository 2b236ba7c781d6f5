"""The arguments and options of `scalecurv analyze` and `scalecurv submit`."""

from importlib.metadata import entry_points

import click

from scalecurv.cli.groups import Option, option
from scalecurv.cli.options import (
    ARITHMETIC,
    CHECKPOINTS,
    CHOICE,
    DATA,
    FROM_SAMPLES,
    LABELS,
    LOSS,
    MACHINE,
    MEASURES,
    MODEL,
    OUTPUT,
    PARAMS,
    PATH,
    RANK_SAMPLES,
    RUN,
    SHARPNESS,
    memory_option,
    seed_option,
)
from scalecurv.quantities import AUTO, BUILT_IN, DEFAULT, GPUS_PER_WORKER, MAX_MATVECS, PLUG_INS, RTOL


class _MeasureOption(Option):
    """An option whose help names the measures of installed packages too."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or ctx.resilient_parsing:  # the reference page describes no one machine
            return record
        installed = ", ".join(sorted(entry.name for entry in entry_points(group=PLUG_INS)))
        return (record[0], f"{record[1]} Installed here: {installed}.") if installed else record


ASKED = (
    option(
        MEASURES,
        "--measure",
        "measures",
        cls=_MeasureOption,
        multiple=True,
        metavar="NAME",
        help=f"Compute this measure: {', '.join(DEFAULT)} (these six by default), "
        f"{', '.join(BUILT_IN[len(DEFAULT) :])}, or pkg.mod:Class. The name of a quantity, such as trace or rank_1e3, "
        "stands for the measure that has it. Repeat for more, or separate names by commas.",
    ),
    option(
        MEASURES,
        "--rtol",
        type=float,
        metavar="R",
        default=RTOL,
        show_default=True,
        help="Sample until the half-width of 95 % intervals is R times the value.",
    ),
    option(
        MEASURES,
        "--max-matvecs",
        type=int,
        metavar="N",
        default=MAX_MATVECS,
        show_default=True,
        help="Take at most N Hessian products at a checkpoint. spectrum, principal, gauss_newton, sharpness "
        "and sgd may take N more each. Products with J are not counted.",
    ),
    PARAMS,
    option(
        MEASURES,
        "--route",
        type=click.Choice(["exact", "sampled", "generic", "dense"]),
        help="Compute trace, trace_h2, curvature and extremes by one route: exact sums over an MLP; samples, beside a "
        "trace that is exact where the model allows it; samples that assume nothing (generic); or H written out "
        "(dense).  [default: the first of exact, dense and sampled that the model, --max-matvecs and --memory allow]",
    ),
    option(
        MEASURES,
        "--output",
        type=click.Choice(["logits", "prob"]),
        help="Take the rank of the outputs, or of their softmax.  [default: logits]",
    ),
    option(
        MEASURES,
        "--functional-dimension",
        is_flag=True,
        default=None,
        help="Let rank bound the dimension of the functions too, by further inputs.",
    ),
    option(
        MEASURES,
        "--singular-values",
        is_flag=True,
        default=None,
        help="Let rank store all singular values of J too. They take a decomposition.",
    ),
    RANK_SAMPLES,
    FROM_SAMPLES,
    *SHARPNESS,
)
COMPUTING = (
    seed_option("Draw all random vectors from the seed N, the same at every checkpoint."),
    option(
        ARITHMETIC,
        "--dtype",
        type=click.Choice(["float32", "float64", "tf32"]),
        help="Compute products in this dtype; tf32 is float32 with a GPU's coarse products.  [default: the "
        "checkpoint's own]",
    ),
    option(
        ARITHMETIC,
        "--device",
        default=AUTO,
        show_default=True,
        metavar="auto|cpu|cuda",
        help="Compute on the CPU or on a GPU; auto takes a GPU if there is one.",
    ),
    option(
        ARITHMETIC,
        "--batch-size",
        type=int,
        metavar="N",
        help="Put N samples into a mini-batch.  [default: what --memory allows]",
    ),
    memory_option("Let each worker use SIZE for bases, and SIZE for temporaries."),
)
SHARING = (
    option(
        MACHINE,
        "--engine",
        type=click.Choice(["auto", "ray", "serial"]),
        default=AUTO,
        show_default=True,
        help="Work in this process (serial) or on Ray workers. auto begins here and goes over to Ray as soon as that "
        "saves more time than Ray's start takes.",
    ),
    option(
        MACHINE,
        "--address",
        metavar="HOST:PORT",
        help="Use the running Ray cluster at this address.  [default: start one on this machine]",
    ),
    option(
        MACHINE,
        "--workers",
        type=int,
        metavar="N",
        help="Use at most N Ray workers; with auto, 1 means serial.  [default: one for each GPU, or for each core if "
        "there is no GPU]",
    ),
    option(
        MACHINE,
        "--threads",
        type=int,
        metavar="N",
        help="Give each worker N CPU threads.  [default: 1 on Ray, and where auto may go over to Ray; else "
        "OMP_NUM_THREADS, or one or all cores, whichever is faster]",
    ),
    option(
        MACHINE,
        "--gpus-per-worker",
        type=float,
        metavar="F",
        default=GPUS_PER_WORKER,
        show_default=True,
        help="Give each worker F GPUs; 0.5 puts two workers on each GPU.",
    ),
    option(
        MACHINE,
        "--plan",
        default=AUTO,
        show_default=True,
        metavar="auto|checkpoints|probes|data",
        help="Share out checkpoints, the probes of each checkpoint, or the data (each worker holds a share of it, and "
        "rank is refused). auto shares out checkpoints, and probes where workers would be idle and it saves time.",
    ),
)
LABELLING = (
    option(
        LABELS,
        "--step-pattern",
        metavar="REGEX",
        help="Read step, epoch and run from the named groups (?P<step>...), (?P<epoch>...), (?P<run>...) of REGEX, "
        "which is searched in the path below CHECKPOINTS, as 'it(?P<step>\\d+)'. One group without a name is the step.",
    ),
    option(
        LABELS,
        "--run-attr",
        "run_attributes",
        multiple=True,
        metavar="NAME=REGEX",
        help="Store the group of REGEX (or all that it matches) in a run's path as a column NAME, as 'lr=lr([0-9.]+)'. "
        "Repeat for more. A run.json beside the checkpoints gives columns too.",
    ),
)
RUNNING = (
    option(
        RUN, "--dry-run", is_flag=True, help="Print what would be done and what it costs. Try the first checkpoint."
    ),
    option(RUN, "--follow", is_flag=True, help="Continue with the checkpoints that a running training still writes."),
    option(
        RUN,
        "--patience",
        type=float,
        metavar="SECONDS",
        help="End --follow after so many seconds without a new checkpoint.",
    ),
    option(RUN, "--rehash", is_flag=True, help="Read every checkpoint again instead of trusting its size and time."),
    option(
        OUTPUT,
        "--verbose",
        "-v",
        count=True,
        help="Print the seconds of each measure, and the choice of the engine with its reason.",
    ),
    option(OUTPUT, "--quiet", "-q", count=True, help="Print errors only."),
)
OPTIONS = (
    CHECKPOINTS,
    click.argument("store", type=PATH),
    *DATA,
    *LOSS,
    *MODEL,
    *CHOICE,
    *ASKED,
    *LABELLING,
    *COMPUTING,
    *SHARING,
    *RUNNING,
)
