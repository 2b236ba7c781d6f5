"""Event files and runs of MLflow hold the store's own numbers, once, however often they are exported."""

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from scalecurv.cli.main import main
from scalecurv.record import Outcome
from scalecurv.results.query import Store, open_store
from scalecurv.results.trackers.event_files import FILE
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from scalecurv.store.reader import check_store
from tests.outcomes import exactly, failure, outcome, record, sampled, store_of

ENDS = ("", "_lower", "_upper")
ATTRIBUTES = {"/runs/a": {"lr": 0.1, "warm": True, "name": "a b"}, "/runs/b": {"lr": 0.2, "warm": False}}
OPEN = replace(sampled(5.0, 1.0), upper=math.inf)


def numbers(path: str, trace: float, **fields: Any) -> Outcome:
    found = {("trace", ""): sampled(trace, trace / 10), ("lambda_max", ""): OPEN, **exactly(rank=7)}
    return outcome(path, record(path, found), **fields)


RUNS = (
    numbers("/runs/a/step_0.pt", 1 / 3, created=50.25),
    numbers("/runs/a/step_10.pt", 2e5),
    numbers("/runs/b/step_10.pt", 4.0),
    numbers("/runs/b/best.pt", 9.0),
    numbers("/runs/b/other_10.pt", 8.0),
    failure("/runs/b/step_20.pt", step=20),
)
LEFT_OUT = [
    f"left out: 1 checkpoint(s) {why}" for why in ("of a step that is there already", "failed", "without a step")
]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    folder = store_of(tmp_path / "store", *RUNS)
    write_labels(folder, LabelChanges(runs=tuple(run_row(run, found, 1.0) for run, found in ATTRIBUTES.items())))
    return folder


@pytest.fixture(autouse=True)
def _nothing_stays_set() -> Iterator[None]:
    """Exports put the environment back."""
    before = dict(os.environ)
    yield
    assert {name for name in os.environ if name.startswith("MLFLOW")} == {n for n in before if n.startswith("MLFLOW")}


def export(*words: object) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines."""
    done = CliRunner().invoke(main, ["export", *map(str, words)])
    return done.exit_code, done.output.splitlines()


def told(target: object, look: str = "") -> list[str]:
    return [f"wrote 2 run(s), 3 checkpoint(s), 24 value(s) to {target}{look}"]


def expected(store: Store) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Return (value, time) by run, tag and step: those of `results` that are finite, at the first file of a step."""
    rows = store.results()
    rows = rows[(rows["status"] != "failed") & rows["step"].notna() & (rows["checkpoint"] != "/runs/b/step_10.pt")]
    times = store.table("checkpoints").set_index("path")["created"]
    return {
        (Path(row["run"]).name, f"curvature/{name}{end}", int(row["step"])): (
            float(row[name + end]),
            float(times[row["checkpoint"]]),
        )
        for row in rows.to_dict("records")
        for name in ("trace", "lambda_max", "rank")
        for end in ENDS
        if math.isfinite(row[name + end])
    }


def in_event_files(folder: Path) -> dict[tuple[str, str, int], tuple[float, float]]:
    found = {}
    for run in (path.name for path in folder.iterdir()):
        events = EventAccumulator(str(folder / run)).Reload()
        for tag in events.Tags()["scalars"]:
            for scalar in events.Scalars(tag):
                assert (run, tag, scalar.step) not in found  # one value
                found[run, tag, scalar.step] = (scalar.value, scalar.wall_time)
    return found


def test_event_files_hold_the_numbers_in_float32(store: Path, tmp_path: Path) -> None:
    logs = tmp_path / "deep" / "logs"
    for _ in range(2):  # the second export takes the place of the first
        done = export(store, "--to", "tensorboard", logs)
        assert done == (0, [*LEFT_OUT, *told(logs, f"; see `tensorboard --logdir {logs}`")])
    wanted, found = expected(open_store(store)), in_event_files(logs)
    assert found.keys() == wanted.keys()
    assert len(found) == 24
    for key, (value, time) in wanted.items():
        assert found[key] == (float(np.float32(value)), time), key


def test_attributes_are_hyper_parameters(store: Path, tmp_path: Path) -> None:
    assert export(store, "--to", "tensorboard", tmp_path / "logs")[0] == 0
    for run, attributes in ATTRIBUTES.items():
        events = EventAccumulator(str(tmp_path / "logs" / Path(run).name)).Reload()
        (content,) = events.PluginTagToContent("hparams").values()
        session = HParamsPluginData.FromString(content).session_start_info
        found = {name: getattr(value, value.WhichOneof("kind")) for name, value in session.hparams.items()}
        assert found == attributes


def test_files_of_a_trainer_stay_and_new_points_come_after_the_old(store: Path, tmp_path: Path) -> None:
    own = tmp_path / "logs" / "a" / "events.out.tfevents.9.host"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert export(store, "--to", "tensorboard", tmp_path / "logs")[0] == 0
    before = (own.parent / FILE).read_bytes()
    store_of(store, numbers("/runs/a/step_11.pt", 3.0))
    assert export(store, "--to", "tensorboard", tmp_path / "logs")[0] == 0
    after = (own.parent / FILE).read_bytes()
    assert after.startswith(before)  # so a TensorBoard that reads meanwhile goes on where it was
    assert len(after) > len(before)
    assert own.read_bytes() == b""


def client_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient(tracking_uri=folder.as_uri())


def in_mlflow(client: MlflowClient, experiment: str = "scalecurv") -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return the runs by name, and (value, time) by run, metric and step."""
    known = client.get_experiment_by_name(experiment)
    runs = {run.info.run_name: run for run in client.search_runs([known.experiment_id])}
    found = {}
    for name, run in runs.items():
        for metric in run.data.metrics:
            for point in client.get_metric_history(run.info.run_id, metric):
                assert (name, metric, point.step) not in found
                found[name, metric, point.step] = (point.value, point.timestamp / 1000)
    return runs, found


def test_runs_of_mlflow_hold_the_numbers(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, ids = tmp_path / "mlruns", []
    client = client_of(uri, monkeypatch)
    for _ in range(2):
        assert export(store, "--to", "mlflow", uri) == (0, [*LEFT_OUT, *told(uri)])
        runs, found = in_mlflow(client)
        assert found == expected(open_store(store))
        ids.append({name: run.info.run_id for name, run in runs.items()})
    assert ids[0] == ids[1]  # the runs of the first export
    assert {name: run.data.params for name, run in runs.items()} == {
        Path(run).name: {name: str(value) for name, value in given.items()} for run, given in ATTRIBUTES.items()
    }
    tags = {name.removeprefix("scalecurv."): text for name, text in runs["a"].data.tags.items()}
    held = {name: tags[name] for name in ("run", "task_id", "dtype", "seed", "loss", "host", "git")}
    assert held == {"run": "/runs/a", "task_id": "t1", "dtype": "float32", "seed": "0", "loss": "mse", "host": "here",
                    "git": "abc"}  # fmt: skip
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {(run.info.start_time, run.info.end_time) for run in runs.values()} == {(50250, 100000), (100000, 100000)}


def test_mlflow_gets_what_is_new_and_anew_what_has_changed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = tmp_path / "mlruns"
    client = client_of(uri, monkeypatch)
    words = (store, "--to", "mlflow", uri.as_uri(), "--experiment", "mine")
    assert export(*words)[0] == 0
    before, _ = in_mlflow(client, "mine")
    store_of(store, numbers("/runs/a/step_11.pt", 3.0))  # another step of a run
    sharper = {("trace", ""): replace(sampled(8.5, 0.1), num_matvecs=90)}
    later = replace(record("/runs/b/other_10.pt", sharper), version=2)
    store_of(store, outcome("/runs/b/other_10.pt", later, created=200.0))
    code, lines = export(*words)
    assert code == 0
    assert lines[-2] == "written anew, as MLflow keeps numbers that have changed since: 1 run(s)"
    after, found = in_mlflow(client, "mine")
    assert after["a"].info.run_id == before["a"].info.run_id
    assert after["b"].info.run_id != before["b"].info.run_id
    assert found == expected(open_store(store))
    assert found["b", "curvature/trace", 10][0] == 8.5
    client.delete_experiment(after["a"].info.experiment_id)
    refused = f"scalecurv: experiment mine is deleted at {uri.as_uri()}; restore it, or give another --experiment"
    assert export(*words) == (2, [refused])


def test_two_seeds_are_two_lines_and_no_run_leads_out_of_the_folder(tmp_path: Path) -> None:
    runs = ("/runs/../a", "/x/../a")
    found = [numbers(f"/r{i}/step_{seed}.pt", 1.0, run=run, seed=seed) for i, run in enumerate(runs) for seed in (0, 3)]
    assert export(store_of(tmp_path / "store", *found), "--to", "tensorboard", tmp_path / "logs")[0] == 0
    files = sorted(str(path.relative_to(tmp_path / "logs")) for path in (tmp_path / "logs").rglob(FILE))
    assert files == [f"{run}/seed={seed}/{FILE}" for run in ("runs/_/a", "x/_/a") for seed in (0, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "store"]


def test_runs_whose_names_show_alike_stay_apart(tmp_path: Path) -> None:
    found = [numbers(f"/r{i}/step_1.pt", i + 1.0, run=run) for i, run in enumerate(("/x/a\n", r"/x/a\n"))]
    code, lines = export(store_of(tmp_path / "store", *found), "--to", "tensorboard", tmp_path / "logs")
    assert (code, lines[0][:30]) == (0, "wrote 2 run(s), 2 checkpoint(s")
    values = [
        value for (_, tag, _), (value, _) in in_event_files(tmp_path / "logs").items() if tag == "curvature/trace"
    ]
    assert sorted(values) == [1.0, 2.0]


def test_what_cannot_be_exported_is_one_line(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "file").touch()
    empty = store_of(tmp_path / "empty", failure("/runs/a/step_1.pt", step=1))
    board, runs = ("--to", "tensorboard"), ("--to", "mlflow")
    for words, message in [
        ((store, *board, tmp_path / "file"), f"{tmp_path}/file/a cannot be made (Not a directory)"),
        ((store, *board, store / "logs"), f"{store}/logs lies in the store itself; give a folder outside of {store}"),
        ((empty, *board, tmp_path / "x"), f"{empty} holds no checkpoint with a step to export; see `scalecurv show"),
        ((store, *runs, "http://me:secret@127.0.0.1:9"), "http://127.0.0.1:9 cannot be written (API request to"),
        ((store, *runs, "sqlite:////x.db"), "sqlite:////x.db cannot be written (the MLflow that is installed writes"),
        ((store, *board, "x", "--table", "long"), "--table is for files; leave it out with --to tensorboard"),
        ((store, *runs, "x", "--all-columns"), "--all-columns is for files; leave it out with --to mlflow"),
        ((store, *board, "x", "--experiment", "e"), "--experiment is for --to mlflow; leave it out"),
    ]:
        code, lines = export(*words)
        assert code == 2, words
        assert len(lines) == 1
        assert lines[0].startswith(f"scalecurv: {message}"), lines[0]
        assert "secret" not in lines[0]
    check_store(store)


def test_without_the_packages_one_line_says_what_to_install(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tracker, module in (("tensorboard", "tensorboard.compat.proto.event_pb2"), ("mlflow", "mlflow.tracking")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        code, lines = export(store, "--to", tracker, tmp_path / "x")
        assert (code, len(lines)) == (2, 1)
        assert lines[0].endswith('run `pip install "scalecurv[trackers]"`')
