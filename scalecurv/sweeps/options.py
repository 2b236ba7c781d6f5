"""The options that `scalecurv analyze` and `scalecurv.sweep` share, as the Sweep that they describe."""

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import Any

from scalecurv.analysis import Request
from scalecurv.checkpoints.discover import Globs
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import DTYPES, Arithmetic
from scalecurv.engine.resources import Resources, memory_of
from scalecurv.engine.session import inside_job
from scalecurv.errors import Misuse
from scalecurv.measures import DEFAULT, measures_named
from scalecurv.measures.route import Budget
from scalecurv.problem.readiness import check_number
from scalecurv.sweeps.work import Sweep

SHARED = (  # of measures
    *("rtol", "max_matvecs", "memory", "route", "output", "functional_dimension", "singular_values", "rank_samples"),
    "from_samples",
    *("params", "radius", "sigma", "sgd_batches"),
)
NUMBERS = (
    *("patience", "rtol", "max_matvecs", "rank_samples", "from_samples", "batch_size", "memory"),
    *("workers", "threads", "gpus_per_worker", "radius", "sigma"),
)


def sweep_of(options: Mapping[str, Any]) -> Sweep:
    """Return the Sweep of these options, by the names of `scalecurv analyze` with underscores.

    `checkpoints` is a tuple of paths, `store` a path, `measures` what `measures_named` takes, empty or None for the
    default measures, and `run_attributes` a mapping from names to patterns. Raises Misuse for an option that is out of
    its range, for no checkpoints, and for a relative path inside a Ray job.
    """
    if not options["checkpoints"]:
        raise Misuse("no checkpoints are given; give a directory of checkpoints, or checkpoint files")
    _check_numbers(options)
    Budget(options["max_matvecs"])
    data = options["data"]
    paths = [*options["checkpoints"], options["store"], *([data] if isinstance(data, Path) else [])]
    if inside_job() and (relative := next((p for p in paths if not p.is_absolute()), None)):
        raise Misuse(f"{relative} is relative, and a job runs in a folder of Ray's own; give absolute paths")
    resources = Resources(**{field.name: options[field.name] for field in fields(Resources)})
    offered = memory_of(resources)
    options = {**options, "memory": offered if options["memory"] is None else options["memory"]}
    measures = measures_named(options["measures"] or DEFAULT, **{name: options[name] for name in SHARED})
    return Sweep(
        checkpoints=options["checkpoints"],
        store=options["store"].resolve(),
        given={field.name: options[field.name] for field in fields(ProblemSpec)},
        request=Request(measures, options["seed"], offered),
        arithmetic=Arithmetic(options["dtype"], "cpu", options["batch_size"], options["memory"]),
        resources=resources,
        globs=globs_of(options),
        rehash=options["rehash"],
        step_pattern=options["step_pattern"],
        run_attributes=options["run_attributes"],
    )


def globs_of(options: Mapping[str, Any]) -> Globs:
    """Return the globs of the options `include` and `exclude`, each a pattern or several; raises Misuse for others."""
    chosen: dict[str, tuple[str, ...]] = {}
    for name in ("include", "exclude"):
        given = options[name]
        several = (given,) if isinstance(given, str) else tuple(given or ())
        if wrong := [glob for glob in several if not isinstance(glob, str) or not glob]:
            raise Misuse(f"--{name} is {wrong[0]!r}; give a pattern of names, such as 'step_*.pt'")
        chosen[name] = several
    return Globs(**chosen)


def _check_numbers(options: Mapping[str, Any]) -> None:
    """Raise Misuse for a number that is not positive, a seed or a dtype that is none, and a patience without follow."""
    if options["patience"] is not None and not options["follow"]:
        raise Misuse("--patience says when --follow ends; give --follow, or leave it out")
    for name in NUMBERS:
        value = options[name]
        check_number(name, value)
        if value is not None and not 0 < value < math.inf:
            raise Misuse(f"--{name.replace('_', '-')} is {value}; it must be positive and finite")
    if options["dtype"] is not None and options["dtype"] not in DTYPES:
        raise Misuse(f"unknown dtype {options['dtype']!r}; choose from {', '.join(DTYPES)}, or leave it out")
    if not isinstance(options["seed"], Integral) or not 0 <= int(options["seed"]) < 2**63:
        raise Misuse(f"--seed is {options['seed']}; it must be from 0 to 2^63 - 1")
