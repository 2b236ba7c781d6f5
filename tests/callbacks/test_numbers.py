"""The numbers of a monitor, and its rows in a store, are those of an analysis of the same weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import scalecurv as sc
from scalecurv.callbacks import Monitor
from scalecurv.store.reader import read_store
from tests.callbacks.loops import data, monitor, network, plain, train

MEASURES = ("trace", "lambda_max")


def written_run(folder: Path) -> Path:
    """Write the data and the problem of a run, as `scalecurv analyze` reads them."""
    folder.mkdir()
    x, y = data()
    np.savez(folder / "data.npz", x=x.numpy(), y=y.numpy())
    problem = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu"}
    (folder / "problem.json").write_text(json.dumps(problem))
    return folder


def rows(store: Path, table: str, *leave: str) -> pd.DataFrame:
    frame = read_store(store).tables[table].drop(columns=["created", "seconds", "attempt", *leave], errors="ignore")
    frame = frame.astype({name: object for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)})
    keys = [name for name in ("path", "key", "quantity", "component", "name", "task_id") if name in frame]
    return frame.sort_values(keys).reset_index(drop=True)


def test_values_are_those_of_analyze() -> None:
    for dtype in (None, "float64"):
        watch, model = monitor(every=1, dtype=dtype), network().train()
        found = watch(model, 0)
        problem = sc.Problem(model.eval(), data(), dtype=dtype and getattr(torch, dtype))
        expected = sc.analyze(problem, MEASURES, rtol=0.1)
        assert found == {name: expected[name] for name in ("trace", "lambda_max")}


def test_autocast_and_coarse_products_change_no_number() -> None:
    model = network()
    alone = monitor()(model, 0)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            assert monitor()(model, 0) == alone
    finally:
        torch.set_float32_matmul_precision("highest")


def test_measures_are_chosen_by_the_names_of_quantities_and_measures() -> None:
    model = plain()
    assert set(monitor(measures="trace")(model, 0) or {}) == {"trace"}
    assert set(monitor(measures="moments")(model, 0) or {}) == {"trace", "trace_h2"}
    assert set(monitor(measures=["lambda_max, trace"])(model, 0) or {}) == {"trace", "lambda_max"}
    from scalecurv.measures import Extremes

    assert set(monitor(measures=Extremes())(model, 0) or {}) == {"lambda_max", "lambda_min"}


def test_a_saved_checkpoint_is_done_where_the_monitor_has_measured_its_weights(tmp_path: Path) -> None:
    """Keys, tasks, provenance and numbers are those of the command, which takes the rows over under the file's path."""
    run, store, other = written_run(tmp_path / "run"), tmp_path / "store", tmp_path / "other"
    watch = Monitor(
        *(run / "data.npz", "cross_entropy"), activation="relu", every=1, budget=None, store=store, run=run,
        attributes={"lr": 0.1},
    )  # fmt: skip
    model = plain()
    for step in range(3):
        torch.save(model.state_dict(), run / f"step_{step}.pt")
        assert watch(model, step) is not None
        with torch.no_grad():
            model[0].weight.mul_(1.1)
    labels = sc.open_store(store).sql("select checkpoint, run, step, status, lr from results order by step")
    assert labels.values.tolist() == [[str(run / f"step_{i}"), str(run), i, "ok", 0.1] for i in range(3)]
    options: dict[str, Any] = {"measures": MEASURES, "rtol": 0.1, "engine": "serial", "threads": 1}
    sc.sweep(run, other, **options)
    for table, leave in (("estimates", ["provenance_id"]), ("tasks", []), ("arrays", [])):
        pd.testing.assert_frame_equal(rows(store, table, *leave), rows(other, table, *leave))
    settings = ["threads", "config", "device", "host", "git"]
    mine, theirs = (read_store(place).tables["provenance"].iloc[0] for place in (store, other))
    assert json.loads(mine["config"])["measures"] == json.loads(theirs["config"])["measures"]
    assert [mine[name] for name in settings if name != "config"] == [theirs[n] for n in settings if n != "config"]
    assert json.loads(mine["versions"]).keys() - {"threads_reason"} == json.loads(theirs["versions"]).keys() - {
        "threads_reason"
    }
    before = len(read_store(store).tables["estimates"])
    outcomes = sc.sweep(run, store, **options)
    assert all(outcome.records == () for outcome in outcomes)
    after = sc.open_store(store).sql("select checkpoint, step, trace from results order by step")
    assert [Path(path).name for path in after["checkpoint"]] == [f"step_{i}.pt" for i in range(3)]
    assert len(read_store(store).tables["estimates"]) == before
    assert sc.sweep(run, store, **options) == ()


def test_the_model_as_it_is_trained_has_a_task_of_its_own(tmp_path: Path) -> None:
    """The same weights with another activation, or other data, are told apart; the same again has the same keys."""
    store, (x, y) = tmp_path / "store", data()
    model = plain()
    other = nn.Sequential(model[0], nn.Tanh(), model[2])
    for step, (network_, samples) in enumerate([(model, (x, y)), (model, (x, y)), (other, (x, y)), (model, (-x, y))]):
        Monitor(samples, every=1, budget=None, store=store, run="run")(network_, step)
    found = sc.open_store(store).sql("select step, task_id from results order by step")
    first, again, tanh, moved = found["task_id"]
    assert first == again
    assert len({first, tanh, moved}) == 3
    assert set(read_store(store).tables["tasks"]["model"]) == {"torch.nn.modules.container.Sequential"}


def test_a_factory_gives_the_task_of_the_command(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run")
    model = network()
    torch.save(model.state_dict(), run / "step_0.pt")
    code, store = "tests.callbacks.loops:network", tmp_path / "store"
    Monitor(run / "data.npz", model=code, budget=None, store=store, run=run)(model, 0)
    (run / "problem.json").unlink()
    options: dict[str, Any] = {"data": run / "data.npz", "loss": "cross_entropy", "model": network, "engine": "serial"}
    (outcome,) = sc.sweep(run, store, measures=MEASURES, rtol=0.1, **options)
    assert outcome.records == ()


def test_a_step_that_is_measured_again_keeps_its_keys(tmp_path: Path) -> None:
    store, model = tmp_path / "store", plain()
    for _ in range(2):  # as after a resume
        monitor(store=store, run="run")(model, 2)
    assert len(sc.open_store(store).sql("select * from results")) == 1
    frame = read_store(store).tables["estimates"]
    assert frame["key"].nunique() == 2


@pytest.mark.parametrize("autocast", [False, True])
def test_every_second_step_of_a_training(autocast: bool) -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    watch = monitor(logger=lambda values, step: logged.append((step, values)), prefix="")
    train(watch, autocast=autocast)
    assert [step for step, _ in logged] == [2, 4]
    for _, values in logged:
        assert set(values) == {f"{n}{end}" for n in ("trace", "lambda_max") for end in ("", "_lower", "_upper")}
        assert values["trace_lower"] <= values["trace"] <= values["trace_upper"]
