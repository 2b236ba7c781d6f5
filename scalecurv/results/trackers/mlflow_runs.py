"""Results as runs of MLflow, in a folder or on a server: metrics over steps, parameters and tags."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalecurv import __version__
from scalecurv.errors import Misuse, first_line
from scalecurv.results.query import Store
from scalecurv.results.trackers.trajectories import GROUP, Exported, Trajectory, counted, trajectories

EXPERIMENT = "scalecurv"
IDENTITY = "scalecurv.id"  # the tag by which the run of an earlier export is found again
BATCH, PARAMETERS = 1000, 100  # metrics and parameters of one request
LONGEST, LONGEST_NAME = 6000, 250  # characters of a parameter: its value, its name
SETTINGS = {  # of MLflow, where the user has set none
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a wrong address is told in seconds, not in minutes
    "MLFLOW_ALLOW_FILE_STORE": "true",  # whoever names a folder wants files
}
_ADVICE = (
    "give a folder such as file:///data/mlruns, or a server such as http://host:5000; for a database install mlflow"
)
_FOREIGN = re.compile(r"[^\w. /:-]", re.ASCII)  # characters that names of metrics and parameters must not have


def export_runs(store: Store, uri: str, experiment: str = EXPERIMENT) -> Exported:
    """Write the numbers of each run to a run of MLflow at `uri`, a folder or a server, and return the counts.

    A number is the metric curvature/NAME, and the ends of its interval are curvature/NAME_lower and
    curvature/NAME_upper, at the step of its checkpoint. Attributes of runs are parameters; the task and the
    provenance are tags. A later export finds its runs by a tag and adds what is new. MLflow changes no number that was
    logged: where one has changed, the run is deleted, which MLflow can take back, and written anew.

    Raises Misuse where `uri` cannot be written, the experiment is deleted, and without MLflow.
    """
    found, left_out = trajectories(store)
    with _settings():
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise Misuse('runs of MLflow need mlflow-skinny; run `pip install "scalecurv[trackers]"`') from error
        try:
            client = MlflowClient(tracking_uri=uri if ":" in uri else Path(uri).absolute().as_uri())
            known = client.get_experiment_by_name(experiment)
            if known is not None and known.lifecycle_stage != "active":
                raise Misuse(f"experiment {experiment} is deleted at {uri}; restore it, or give another --experiment")
            number = known.experiment_id if known is not None else client.create_experiment(experiment)
            replaced = sum(_write(client, number, one) for one in found)
        except (MlflowException, OSError) as error:
            raise Misuse(_without_password(f"{uri} cannot be written ({_reason(error)}); {_ADVICE}")) from error
    return counted(found, left_out, replaced)


def _write(client: Any, experiment: str, one: Trajectory) -> bool:
    """Write one run, or what its earlier export lacks; return True where it was there and had to be written anew."""
    times = [int(1000 * point.time) for point in one.points]
    params = {_name(name): str(value)[:LONGEST] for name, value in one.attributes.items()}
    wanted = {
        (_name(name), point.step): (value, time)
        for point, time in zip(one.points, times, strict=True)
        for name, value in point.values.items()
    }
    earlier = client.search_runs([experiment], filter_string=f"tags.`{IDENTITY}` = '{one.identity}'", max_results=1)
    held = _held(client, earlier[0]) if earlier else {}
    logged = earlier[0].data.params if earlier else {}
    same = all(key in wanted and wanted[key][0] == value for key, value in held.items())
    stale = not same or any(params.get(name) != value for name, value in logged.items())
    if stale:
        client.delete_run(earlier[0].info.run_id)
        held, logged = {}, {}
    tags = {f"scalecurv.{name}": text for name, text in one.facts.items()}
    tags |= {IDENTITY: one.identity, "scalecurv.version": __version__}
    if earlier and not stale:
        run = earlier[0].info.run_id
    else:
        run = client.create_run(experiment, min(times), {IDENTITY: one.identity}, one.name).info.run_id
    new = [(*key, *wanted[key]) for key in wanted.keys() - held.keys()]
    _log(client, run, sorted(new, key=lambda point: point[:2]), _without(params, logged), tags)
    client.set_terminated(run, "FINISHED", max(times))
    return stale


def _held(client: Any, run: Any) -> dict[tuple[str, int], float]:
    """Return the numbers that a run has from an earlier export, by name and step."""
    names = [name for name in run.data.metrics if name.startswith(f"{GROUP}/")]
    points = [point for name in names for point in client.get_metric_history(run.info.run_id, name)]
    return {(point.key, point.step): point.value for point in points}


def _log(
    client: Any, run: str, points: list[tuple[str, int, float, int]], params: dict[str, str], tags: dict[str, str]
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    named = [Param(name, value) for name, value in params.items()]
    for i in range(0, len(named), PARAMETERS):
        client.log_batch(run, params=named[i : i + PARAMETERS])
    client.log_batch(run, tags=[RunTag(name, text[:LONGEST]) for name, text in tags.items()])
    metrics = [Metric(name, value, time, step) for name, step, value, time in points]
    for i in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[i : i + BATCH])


def _without(params: dict[str, str], logged: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in logged}


def _name(name: str) -> str:
    """Return a name with _ for each character that MLflow does not take, and for each part of dots alone."""
    parts = _FOREIGN.sub("_", name).split("/")
    return "/".join("_" * max(len(part), 1) if not part.strip(".") else part for part in parts)[:LONGEST_NAME]


def _reason(error: Exception) -> str:
    line = first_line(error)
    return "the MLflow that is installed writes to no such address" if "unsupported URI" in line else line.rstrip(". ")


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


@contextmanager
def _settings() -> Iterator[None]:
    """Set SETTINGS in the environment, those that it lacks, for as long as the block runs."""
    added = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
