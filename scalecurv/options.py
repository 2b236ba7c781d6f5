"""The options that `analyze` and `submit` share, and the Sweep that they describe."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from scalecurv.errors import Misuse
from scalecurv.named import is_named

_PATH = click.Path(path_type=Path)
SHARED = ("rtol", "max_matvecs", "memory", "route", "output", "functional_dimension", "params")  # of measures


class _Source(click.ParamType):
    """A path, or the name of code."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if isinstance(value, Path) or is_named(value) else Path(value)


CHECKPOINTS = click.argument("checkpoints", nargs=-1, type=_PATH, metavar="CHECKPOINTS...")
LOSS = (
    click.option(
        "--loss",
        metavar="mse|cross_entropy|logistic|PKG.MOD:FUNCTION",
        help="The loss that was trained; a function of (f, y) returns one number a sample.",
    ),
    click.option("--reduction", metavar="mean|sum", help="Over samples. Default: mean."),
    click.option("--weight-decay", type=float, help="w in w |theta|^2 / 2, added to the loss. Default: 0."),
)
DATA = (
    click.option(
        "--data",
        type=_Source(),
        metavar="PATH|PKG.MOD:FACTORY",
        help="Arrays x and y: .npz, .pt, .safetensors, .h5, .parquet, a directory of these, or a torch Dataset's name.",
    ),
    click.option("--split", metavar="NAME", help="Of the data: train, test, ... Default: what has no name."),
    click.option("--max-samples", type=int, help="No more than so many, drawn by --seed. Default: all."),
)
MODEL = (
    click.option("--model", metavar="mlp|PKG.MOD:FACTORY", help="How to build the model. Default: mlp, from shapes."),
    click.option("--activation", metavar="NAME", help="Between an MLP's layers: relu, tanh, gelu, ..."),
    click.option(
        "--allow-global",
        "allow",
        multiple=True,
        metavar="NAME",
        help="A class that checkpoints may hold, as argparse.Namespace; repeat for more. Nothing else is ever run.",
    ),
)
PARAMS = click.option(
    "--params",
    metavar="REGEX",
    help="Free only the parameters in whose names this is found, as 'weight$': every measure is of that block.",
)
SAID = ("data", "split", "max_samples", "loss", "reduction", "weight_decay", "model", "activation", "allow")

_OPTIONS = (
    CHECKPOINTS,
    click.argument("store", type=_PATH),
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
    click.option("--rtol", type=float, default=0.01, show_default=True, help="Half-width of 95 % intervals, relative."),
    click.option(
        "--max-matvecs",
        type=int,
        default=1000,
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
    click.option("--seed", type=int, default=0, show_default=True, help="Of all random vectors, at every checkpoint."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64", "tf32"]),
        help="Of products. Default: the checkpoint's own; tf32: float32 with a GPU's coarse products.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda",
        help="Where products run; auto takes a GPU where there is one.",
    ),
    click.option("--batch-size", type=int, help="Samples in a mini-batch. Default: what --memory allows."),
    click.option(
        "--memory",
        type=int,
        default=2 << 30,
        show_default="2 GiB",
        help="Bytes that each worker may use for bases, and for temporaries.",
    ),
    click.option("--engine", type=click.Choice(["auto", "ray", "serial"]), default="auto", show_default=True),
    click.option("--address", help="Of a running Ray cluster. Default: an embedded one."),
    click.option("--workers", type=int, help="Default: one for each GPU, or for each core where there is none."),
    click.option("--threads", type=int, help="CPU threads of each worker. Default: 1 under Ray, all in serial."),
    click.option(
        "--gpus-per-worker", type=float, default=1.0, show_default=True, help="0.5 puts two workers on each GPU."
    ),
    click.option(
        "--plan",
        default="auto",
        show_default=True,
        metavar="auto|checkpoints|probes|data",
        help="What workers share out: checkpoints, the probes of each checkpoint, or the data (every worker holds a "
        "share, rank is left out). auto splits probes where workers would be idle and it pays.",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done, what it costs and how it is shared out."),
    click.option("--follow", is_flag=True, help="Go on with the checkpoints that a running training still writes."),
    click.option("--patience", type=float, help="With --follow: end after so many seconds without a new one."),
    click.option("--rehash", is_flag=True, help="Read every checkpoint again instead of trusting size and time."),
)


def analysis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments of an analysis."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def sweep_of(params: dict[str, Any]) -> Any:
    """The Sweep that parsed options ask for; raises Misuse. Imports torch, so only commands that compute call it."""
    from scalecurv.analysis import Request
    from scalecurv.checkpoints.task import Arithmetic
    from scalecurv.engine.dispatch import Resources
    from scalecurv.engine.session import inside_job
    from scalecurv.measures import DEFAULT, measures_named
    from scalecurv.measures.budget import Budget
    from scalecurv.sweep import Sweep

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
        said=said_of(params),
        request=Request(measures_named(names, **shared), params["seed"]),
        arithmetic=Arithmetic(params["dtype"], "cpu", params["batch_size"], params["memory"]),
        resources=Resources(
            *(params[name] for name in ("engine", "address", "workers", "threads", "device", "gpus_per_worker", "plan"))
        ),
        rehash=params["rehash"],
    )


def said_of(params: dict[str, Any]) -> dict[str, Any]:
    """What a command was told of the problem, None where it was not."""
    return {name: params.get(name) or None if name == "allow" else params.get(name) for name in SAID}


def absolute_arguments(ctx: click.Context) -> list[str]:
    """What was said on the command line, with paths made absolute: the same request from any directory."""
    options: list[str] = []
    positional: list[str] = []
    for param in ctx.command.params:
        if ctx.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE or param.name == "address":
            continue
        value = ctx.params[param.name or ""]
        several = value if isinstance(value, tuple) else (value,)
        values = [str(v.resolve() if isinstance(v, Path) else v) for v in several]
        if isinstance(param, click.Argument):
            positional += values
        elif getattr(param, "is_flag", False):
            options.append(param.opts[0])
        else:
            options += [word for v in values for word in (param.opts[0], v)]
    return [*options, "--", *positional]


def _check_numbers(params: dict[str, Any]) -> None:
    if params["patience"] is not None and not params["follow"]:
        raise Misuse("--patience says when --follow ends; give --follow, or leave it out")
    for name in ("patience", "rtol", "max_matvecs", "batch_size", "memory", "workers", "threads", "gpus_per_worker"):
        value = params[name]
        if value is not None and not 0 < value < math.inf:
            raise Misuse(f"--{name.replace('_', '-')} is {value}; it must be positive and finite")
    check_seed(params["seed"])


def check_memory(memory: int) -> None:
    """Raise Misuse for what nothing fits into."""
    if memory < 1:
        raise Misuse(f"--memory is {memory}; it must be at least 1")


def check_seed(seed: int) -> None:
    """Raise Misuse for what no generator takes."""
    if not 0 <= seed < 2**63:
        raise Misuse(f"--seed is {seed}; it must be from 0 to 2^63 - 1")
