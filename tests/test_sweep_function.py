"""`sc.sweep`: the same rows as `scalecurv analyze`, from notebooks and scripts."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import scalecurv as sc
from scalecurv.cli.main import main
from scalecurv.sweeps import sweep as module
from tests.commands import analyze
from tests.runs import write_run

SERIAL: dict[str, Any] = {"measures": "gradient", "engine": "serial", "threads": 1}


def factory() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def squares(f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return f.square().sum(1)


def test_it_stores_what_the_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    outcomes = sc.sweep("run", "store", **SERIAL)
    assert [(o.step, o.status) for o in outcomes] == [(0, "ok"), (1, "ok"), (2, "ok")]
    assert [o.path for o in outcomes] == [str(tmp_path / "run" / f"step_{i}.pt") for i in range(3)]
    said = analyze("run", "store").output
    assert said.startswith("everything is already there")
    assert sc.sweep(tmp_path / "run", tmp_path / "store", **SERIAL) == ()
    assert sc.open_store("store").results()["loss"].notna().sum() == 3


def test_every_option_of_the_command_is_an_option() -> None:
    command = main.commands["analyze"]
    spelled = {"measures": "measures", "run_attributes": "run_attr"}
    shell = {"dry_run", "verbose", "quiet", "help", "allow_global"}  # that only a command line has
    wanted = {spelled.get(p.name or "", p.name) for p in command.params} - shell
    parameters = inspect.signature(sc.sweep).parameters
    assert set(parameters) == wanted | {"on_outcome"}
    defaults = {spelled.get(p.name or "", p.name): p.default for p in command.params}
    for name in ("rtol", "max_matvecs", "seed", "device", "engine", "gpus_per_worker", "plan"):
        assert parameters[name].default == defaults[name], name
    assert parameters["memory"].default is None  # what the machine has, as where the command is given no --memory


def test_each_outcome_is_stored_before_it_is_told(tmp_path: Path) -> None:
    run, told = write_run(tmp_path / "run"), []
    sc.sweep(
        run,
        tmp_path / "store",
        on_outcome=lambda o: told.append((o.step, len(sc.open_store(tmp_path / "store").results()))),
        **SERIAL,
    )
    assert told == [(0, 1), (1, 2), (2, 3)]


def test_several_places_and_a_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "run")
    monkeypatch.setenv("HOME", str(tmp_path))
    outcomes = sc.sweep(["~/run/step_0.pt", tmp_path / "run" / "step_2.pt"], "~/store", **SERIAL)
    assert [o.step for o in outcomes] == [0, 2]
    assert (tmp_path / "store").is_dir()


def test_functions_stand_for_their_names(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "problem.json").unlink()
    options = {"data": run / "data.npz", **SERIAL}
    first = sc.sweep(run, tmp_path / "a", model=factory, loss=squares, **options)
    named = sc.sweep(run, tmp_path / "b", model=f"{__name__}:factory", loss=f"{__name__}:squares", **options)
    assert [o.status for o in first] == ["ok"] * 3
    assert [o.task_id for o in first] == [o.task_id for o in named]


def test_a_function_that_workers_cannot_import_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    def local() -> nn.Module:
        return factory()

    for model in (local, lambda: factory(), nn.Linear(6, 3)):
        with pytest.raises(sc.Misuse, match=r"^model is .*, which workers cannot import; write it to a file") as caught:
            sc.sweep(run, tmp_path / "store", model=model, **SERIAL)
        assert "\n" not in str(caught.value)
        assert re.search(r"give model='mine:(local|function)'$", str(caught.value))
    local.__module__ = "__main__"
    with pytest.raises(sc.Misuse, match="workers cannot import"):
        sc.sweep(run, tmp_path / "store", loss=local, **SERIAL)


def test_a_checkpoint_that_fails_is_an_outcome(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "step_1.pt").write_bytes(b"no checkpoint")
    outcomes = sc.sweep(run, tmp_path / "store", **SERIAL)
    assert sorted((o.status, Path(o.path).name) for o in outcomes) == [
        ("failed", "step_1.pt"),
        ("ok", "step_0.pt"),
        ("ok", "step_2.pt"),
    ]
    assert all((o.error != "") == (o.status == "failed") for o in outcomes)


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for options, line in (
        ({"rtol": 0.0}, "--rtol is 0.0; it must be positive and finite"),
        ({"patience": 1.0}, "--patience says when --follow ends"),
        ({"seed": -1}, "--seed is -1"),
        ({"max_matvecs": 3}, "max_matvecs=3 is too few"),
        ({"measures": "momentz"}, "unknown measure 'momentz'"),
        ({"data": "nowhere.npz"}, "nowhere.npz"),
        (
            {"data": (torch.zeros(9, 9), torch.zeros(9))},
            r"^data is of type tuple; give a file that has them: np\.savez",
        ),
        ({"memory": "2GB"}, "^memory is '2GB', of type str; give a number of bytes"),
        ({"engine": "local"}, "^unknown --engine 'local'; choose from auto, ray, serial$"),
        ({"dtype": torch.float64}, r"^unknown dtype torch\.float64; choose from float32, float64, tf32"),
        ({"run_attr": "lr"}, "^run_attr is 'lr'; give a dict of names and patterns"),
        ({"on_outcome": "print"}, "^on_outcome is of type str; give a function of one Outcome"),
        ({"seed": "0"}, "^--seed is 0"),
    ):
        with pytest.raises(sc.Misuse, match=line):
            sc.sweep(run, tmp_path / "store", **{**SERIAL, **options})
    with pytest.raises(sc.Misuse, match=r"^checkpoints is of type Linear; give a path, or several paths$"):
        sc.sweep(nn.Linear(2, 2), tmp_path / "store", **SERIAL)  # type: ignore[arg-type]
    with pytest.raises(sc.Misuse, match="no checkpoints are given"):
        sc.sweep([], tmp_path / "store", **SERIAL)
    (tmp_path / "empty").mkdir()
    with pytest.raises(sc.NothingFound):
        sc.sweep(tmp_path / "empty", tmp_path / "store", **SERIAL)
    assert not (tmp_path / "store").exists()


def test_following_takes_the_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    asked = []

    def comes(described: module.Sweep, patience: float | None) -> Any:
        asked.append(patience)
        yield module.find_work(described, only={str(run / "step_0.pt")})
        yield module.find_work(described)

    monkeypatch.setattr(module, "work_as_it_comes", comes)
    outcomes = sc.sweep(run, tmp_path / "store", follow=True, patience=7.0, **SERIAL)
    assert asked == [7.0]
    assert [o.step for o in outcomes] == [0, 1, 2]
