"""The public function `sweep`: `scalecurv analyze` for notebooks and scripts."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from scalecurv.engine.dispatch import session
from scalecurv.errors import Misuse
from scalecurv.measures.named import Named
from scalecurv.quantities import AUTO, GPUS_PER_WORKER, MAX_MATVECS, RTOL, SEED
from scalecurv.record import Outcome
from scalecurv.sweeps.execute import execute
from scalecurv.sweeps.follow import work_as_it_comes
from scalecurv.sweeps.options import sweep_of
from scalecurv.sweeps.reporter import Reporter
from scalecurv.sweeps.work import Sweep, Work, find_work
from scalecurv.user_code import name_of, names_code

logger = logging.getLogger(__name__)

Place = str | PathLike[str]
Code = str | Callable[..., Any]


def sweep(
    checkpoints: Place | Iterable[Place],
    store: Place,
    *,
    measures: Named | Iterable[Named] | None = None,
    data: Place | Code | None = None,
    split: str | None = None,
    max_samples: int | None = None,
    loss: Code | None = None,
    reduction: Literal["mean", "sum"] | None = None,
    weight_decay: float | None = None,
    model: Code | None = None,
    activation: str | None = None,
    weights: str | None = None,
    ignore: str | None = None,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    rtol: float = RTOL,
    max_matvecs: int = MAX_MATVECS,
    memory: int | None = None,
    params: str | None = None,
    route: Literal["exact", "sampled", "generic", "dense"] | None = None,
    output: Literal["logits", "prob"] | None = None,
    functional_dimension: bool | None = None,
    singular_values: bool | None = None,
    rank_samples: int | None = None,
    from_samples: int | None = None,
    radius: float | None = None,
    sigma: float | None = None,
    sgd_batches: Sequence[int] | None = None,
    step_pattern: str | None = None,
    run_attr: Mapping[str, str] | None = None,
    seed: int = SEED,
    dtype: Literal["float32", "float64", "tf32"] | None = None,
    device: str = AUTO,
    batch_size: int | None = None,
    engine: Literal["auto", "ray", "serial"] = AUTO,
    address: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    gpus_per_worker: float = GPUS_PER_WORKER,
    plan: Literal["auto", "checkpoints", "probes", "data"] = AUTO,
    follow: bool = False,
    patience: float | None = None,
    rehash: bool = False,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> tuple[Outcome, ...]:
    """Analyse checkpoints into a store, as `scalecurv analyze` does, and return an Outcome for each that was computed.

    `checkpoints` is a directory, a file, or several of them; `store` is a directory, which is made if it does not
    exist. The options have the names and the meanings of the command's (docs/cli.md); what is not given comes from a
    problem.json beside the checkpoints. `measures` are names of measures or quantities, or Measures; the default is
    that of the command. `data`, `loss` and `model` may be functions of a module that workers can import, in place of
    "pkg.mod:name". `run_attr` maps names of columns to patterns.

    `on_outcome` is called with each Outcome as soon as it is stored. A checkpoint that cannot be analysed is an Outcome
    of status "failed" with the reason in `error`, and the others go on. Run again, it computes only what is missing:
    the result is empty where everything is already there. Raises Misuse for a request that cannot be carried out,
    before any checkpoint is analysed; StoreError where the store cannot be written; ClusterError for a lost cluster.
    Messages spell options as the command does: --step-pattern is `step_pattern` here.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, torch, scalecurv as sc
        >>> run = pathlib.Path(tempfile.mkdtemp(), "run")
        >>> run.mkdir()
        >>> np.savez(run / "data.npz", x=np.eye(3), y=np.arange(3))
        >>> for step in (0, 10):  # the training
        ...     torch.save(torch.nn.Sequential(torch.nn.Linear(3, 3)).state_dict(), run / f"step_{step}.pt")
        >>> options = {"data": run / "data.npz", "loss": "cross_entropy", "activation": "relu", "engine": "serial"}
        >>> outcomes = sc.sweep(run, run.parent / "store", measures="gradient", **options)
        >>> [(outcome.step, outcome.status) for outcome in outcomes]
        [(0, 'ok'), (10, 'ok')]
        >>> sc.sweep(run, run.parent / "store", measures="gradient", **options)  # all is there
        ()
    """
    options = dict(locals())  # first of all, while there is nothing but the arguments
    places = (checkpoints,) if isinstance(checkpoints, str | PathLike) else _places(checkpoints)
    if on_outcome is not None and not callable(on_outcome):
        raise Misuse(
            f"on_outcome is of type {type(on_outcome).__name__}; give a function of one Outcome, such as print"
        )
    described = sweep_of(
        {
            **options,
            "checkpoints": tuple(_absolute("checkpoints", place) for place in places),
            "store": _absolute("store", store),
            "device": str(device),
            "data": _data(data),
            "loss": name_of("loss", loss),
            "model": name_of("model", model),
            "weights": weights,
            "ignore": ignore,
            "run_attributes": _patterns(run_attr or {}),
        }
    )
    outcomes: list[Outcome] = []

    def each(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)

    with ExitStack() as kept:
        reporter = None
        if follow:
            kept.enter_context(session(described.resources))
            reporter = kept.enter_context(Reporter(described.store, follows=True))
        of_sample = ""
        for work in _works(described, follow, patience):
            for reason in work.broken.values():
                logger.warning("%s; it is set aside, and its work done again", reason)
            execute(described, work, each, reporter)
            of_sample = work.task.of_sample if work.todo else of_sample
        if of_sample:
            logger.warning("%s", of_sample)
    return tuple(outcomes)


def _works(described: Sweep, follow: bool, patience: float | None) -> Iterator[Work]:
    """Yield the work that is there now, or as it comes."""
    if follow:
        yield from work_as_it_comes(described, patience)
    else:
        yield find_work(described)


def _places(checkpoints: Iterable[Place]) -> Iterable[Place]:
    if isinstance(checkpoints, Iterable):
        return checkpoints
    raise Misuse(f"checkpoints is of type {type(checkpoints).__name__}; give a path, or several paths")


def _patterns(given: Mapping[str, str]) -> dict[str, str]:
    if isinstance(given, Mapping):
        return dict(given)
    raise Misuse(f"run_attr is {given!r}; give a dict of names and patterns, such as {{'lr': r'lr([\\d.]+)'}}")


def _absolute(option: str, place: Place) -> Path:
    """Return the path from the root, so that workers in other directories find it; "~" is the home directory."""
    if not isinstance(place, str | PathLike):
        raise Misuse(f"{option} is of type {type(place).__name__}; give a path, a str or a pathlib.Path")
    return Path(os.path.abspath(Path(place).expanduser()))


def _data(data: Place | Code | None) -> Path | str | None:
    """Return the path of a file or directory from the root, or the name of user code."""
    if isinstance(data, str | PathLike):
        return data if isinstance(data, str) and names_code(data) else _absolute("data", data)
    if data is not None and not callable(data):
        raise Misuse(
            f"data is of type {type(data).__name__}; give a file that has them: np.savez('data.npz', x=x, y=y)"
        )
    return name_of("data", data)
