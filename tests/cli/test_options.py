"""What was said on the command line, as the request it stands for."""

import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from scalecurv.cli.analyze import sweep_of
from scalecurv.cli.main import main
from scalecurv.cli.options import PROBLEM
from scalecurv.cli.submit import absolute_arguments
from scalecurv.errors import Misuse
from scalecurv.machine import default_memory
from scalecurv.measures import DEFAULT
from scalecurv.sweeps.work import find_work
from tests.runs import write_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a run in it."""
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    return tmp_path


def context(line: str, command: str = "analyze") -> click.Context:
    found = main.get_command(click.Context(main), command)
    assert found is not None
    return found.make_context(command, shlex.split(line))


def sweep(line: str) -> Any:
    return sweep_of(context(line).params)


def test_little_needs_to_be_said(folder: Path) -> None:
    found = sweep("run store")
    assert found.checkpoints == (Path("run"),)
    assert found.store == folder / "store"
    assert found.given == dict.fromkeys(PROBLEM)
    assert tuple(measure.name for measure in found.request.measures) == DEFAULT
    assert found.request.seed == 0
    moments = next(m for m in found.request.measures if m.name == "moments")
    assert moments.settings == {"rtol": 0.01, "max_matvecs": 1000, "memory": default_memory()}
    assert (found.arithmetic.dtype, found.arithmetic.batch_size, found.arithmetic.memory) == (
        None,
        None,
        default_memory(),
    )
    resources = found.resources
    assert (resources.engine, resources.address, resources.workers, resources.threads) == ("auto", None, None, None)
    assert (resources.device, resources.gpus_per_worker, found.rehash) == ("auto", 1.0, False)


def test_all_that_is_said_arrives(folder: Path) -> None:
    found = sweep(
        "run/step_0.pt run/step_1.pt store --data run/data.npz --loss mse --reduction sum --activation tanh "
        "--measure moments,extremes --measure gradient,curvature --rtol 0.2 --max-matvecs 50 --memory 1000000 --seed 3 "
        "--route sampled --dtype float64 --batch-size 7 --engine ray --address 10.0.0.1:6379 --workers 4 --threads 2 "
        "--device cpu --gpus-per-worker 0.5 --rehash"
    )
    assert found.checkpoints == (Path("run/step_0.pt"), Path("run/step_1.pt"))
    assert (found.given["loss"], found.given["reduction"], found.given["activation"]) == ("mse", "sum", "tanh")
    assert found.given["data"] == Path("run/data.npz")
    asked = {measure.name: measure.settings for measure in found.request.measures}
    assert asked == {
        "gradient": {},
        "extremes": {"rtol": 0.2, "max_matvecs": 50, "memory": 1000000, "route": "sampled"},
        "moments": {"rtol": 0.2, "max_matvecs": 50, "memory": 1000000, "route": "sampled"},
        "curvature": {"rtol": 0.2, "max_matvecs": 50, "memory": 1000000, "route": "sampled"},
    }
    assert found.request.seed == 3
    assert (found.arithmetic.dtype, found.arithmetic.batch_size, found.arithmetic.memory) == ("float64", 7, 1000000)
    resources = found.resources
    assert (resources.engine, resources.address, resources.workers) == ("ray", "10.0.0.1:6379", 4)
    assert (resources.threads, resources.device, resources.gpus_per_worker) == (2, "cpu", 0.5)
    assert found.rehash


@pytest.mark.parametrize("given", ["run", "run/step_0.pt"])
def test_what_is_not_said_is_in_problem_json(folder: Path, given: str) -> None:
    spec = find_work(sweep(f"{given} store --reduction sum")).task.spec
    assert (spec.data, spec.loss, spec.reduction) == (folder / "run" / "data.npz", "cross_entropy", "sum")
    assert (spec.model, spec.activation) == ("mlp", "relu")


def test_one_path_is_too_few(folder: Path) -> None:
    with pytest.raises(Misuse) as caught:
        sweep("run")
    assert str(caught.value) == "one path was given, run; give CHECKPOINTS (one or more) and then STORE"


@pytest.mark.parametrize("route", ["exact", "sampled", "generic", "dense"])
def test_a_route_is_for_the_measures_that_choose_one(folder: Path, route: str) -> None:
    found = {m.name: m.options for m in sweep(f"run store --route {route}").request.measures}
    assert {name for name, options in found.items() if options.get("route") == route} == {
        "extremes",
        "moments",
        "curvature",
    }
    assert all("route" not in m.options for m in sweep("run store").request.measures)  # old keys stay what they are


def test_what_is_asked_of_the_rank_alone(folder: Path) -> None:
    """Its options reach `rank` and no other measure; unsaid, they take no part in keys."""
    line = "run store --measure gradient,extremes,moments,curvature,rank,spectrum"
    words = "--output prob --functional-dimension --singular-values --rank-samples 9"
    asked = {m.name: m.settings for m in sweep(f"{line} {words}").request.measures}
    given = {"output": "prob", "functional_dimension": True, "singular_values": True, "rank_samples": 9}
    assert asked["rank"] == {"memory": default_memory(), **given}
    assert all(not given.keys() & options.keys() for name, options in asked.items() if name != "rank")
    assert next(m.settings for m in sweep("run store --measure rank").request.measures) == {"memory": default_memory()}
    with pytest.raises(click.BadParameter, match="'odds' is not one of 'logits', 'prob'"):
        context("run store --output odds")


def test_an_unknown_route_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(click.BadParameter, match="'fast' is not one of 'exact', 'sampled', 'generic'"):
        context("run store --route fast")


NUMBERS = ("rtol", "max-matvecs", "batch-size", "memory", "workers", "threads", "gpus-per-worker")


def test_numbers_are_positive(folder: Path) -> None:
    for value in [0, -1]:
        for name in NUMBERS:
            shown = float(value) if name in ("rtol", "gpus-per-worker") else value
            with pytest.raises(Misuse) as caught:
                sweep(f"run store --{name} {value}")
            assert str(caught.value) == f"--{name} is {shown}; it must be positive and finite"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--rtol nan", "--rtol is nan; it must be positive and finite"),
        ("--rtol inf", "--rtol is inf; it must be positive and finite"),
        ("--seed -1", "--seed is -1; it must be from 0 to 2^63 - 1"),
        (f"--seed {2**63}", f"--seed is {2**63}; it must be from 0 to 2^63 - 1"),
        ("--max-matvecs 23", "max_matvecs=23 is too few to estimate anything; give at least 24"),
    ],
)
def test_numbers_that_mean_nothing_are_misuse(folder: Path, words: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        sweep(f"run store {words}")
    assert str(caught.value) == message


@pytest.mark.parametrize("line", ["run {0}/store", "{0}/run store", "{0}/run {0}/store --data run/data.npz"])
def test_inside_a_job_paths_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(Misuse) as caught:
        sweep(line.format(folder))
    (relative,) = {"run", "store", "run/data.npz"} & set(line.split())
    assert str(caught.value) == (
        f"{relative} is relative, and a job runs in a folder of Ray's own; give absolute paths"
    )
    assert sweep(f"{folder}/run {folder}/store --data {folder}/run/data.npz").store == folder / "store"


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("run store", "-- {0}/run {0}/store"),
        ("run/step_0.pt ./run/../run store", "-- {0}/run/step_0.pt {0}/run {0}/store"),
        ("run store --rtol 0.05 --address http://127.0.0.1:8265", "--rtol 0.05 -- {0}/run {0}/store"),
        (
            "--data run/data.npz run store --measure a --measure b,c --dry-run --model pkg.mod:make",
            "--data {0}/run/data.npz --model pkg.mod:make --measure a --measure b,c --dry-run -- {0}/run {0}/store",
        ),
        ("--seed -1 -- -odd store", "--seed -1 -- {0}/-odd {0}/store"),
        ("run store -vv --memory 2GB -q", "--memory 2000000000 -v -v -q -- {0}/run {0}/store"),
        (
            r"run store --run-attr 'lr=runs/lr([0-9.]+)' --params weight$ --step-pattern 'it(\d+)' --rehash",
            r"--params weight$ --step-pattern it(\d+) --run-attr lr=runs/lr([0-9.]+) --rehash -- {0}/run {0}/store",
        ),
    ],
)
def test_submit_says_the_same_with_absolute_paths(folder: Path, line: str, rewritten: str) -> None:
    words = absolute_arguments(context(line, "submit"))
    assert words == rewritten.format(folder).split()
    assert absolute_arguments(context(shlex.join(words), "submit")) == words


def test_every_option_travels_to_the_job(folder: Path) -> None:
    """What `analyze` makes of the rewritten words is what it makes of those that were said."""
    given = context(
        "run store --rtol 0.5 --route generic --workers 3 --threads 2 --seed 9 --dtype float64 --rehash --device cpu "
        "--output prob --functional-dimension --memory 1.5GiB --follow --patience 2 -v --plan probes "
        "--weight-decay 0.1 --split train --max-samples 9 --weights ema.x --ignore ^a --params 'a b' "
        "--include a* --include b --exclude c "
        "--batch-size 3 --engine ray",
        "submit",
    )
    words = absolute_arguments(given)
    again = context(shlex.join(words)).params
    assert {**again, "checkpoints": given.params["checkpoints"], "store": given.params["store"]} == given.params
