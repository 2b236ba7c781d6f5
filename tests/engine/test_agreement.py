"""The laptop is the reference: Ray stores the same rows, bit by bit, with two workers and a third for a dead one."""

from pathlib import Path
from typing import Any

import pytest

from scalecurv.analysis import Request
from scalecurv.engine.resources import Resources
from scalecurv.engine.worker import Worker
from scalecurv.measures import MEASURES, measures_named
from scalecurv.record import Outcome
from scalecurv.sweeps.work import Sweep
from tests.engine.fakes import DiesOnce, attempts
from tests.measures.test_named import Norm  # a measure of one's own: a worker imports it by its name
from tests.runs import assert_same_store, carry_out, rows_of, write_run, write_truncated

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("agreement") / "run", steps=range(2))
    write_truncated(folder / "step_9.pt")
    return folder


def stored(run: Path, store: Path, resources: Resources) -> dict[str, Outcome]:
    request = Request(measures_named((*MEASURES, Norm), max_matvecs=50), seed=1)
    outcomes = carry_out(Sweep((run,), store, {}, request, resources=resources))
    return {Path(outcome.path).stem: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def reference(run: Path) -> Path:
    store = run.parent / "serial"
    outcomes = stored(run, store, Resources("serial", threads=1))
    assert [outcome.status for outcome in outcomes.values()] == ["ok", "ok", "failed"]
    assert set(rows_of(store)["measure"]) == {*MEASURES, "norm"}
    return store


@pytest.mark.fault
def test_two_workers_store_the_rows_of_the_loop_and_a_third_in_place_of_one_that_is_killed(
    cluster: Any, run: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalecurv.sweeps.execute.Worker", lambda *told: DiesOnce(Worker(*told), tmp_path, "step_1.pt"))
    outcomes = stored(run, tmp_path / "store", Resources("ray", workers=2))
    assert {name: outcome.attempt for name, outcome in outcomes.items()} == {
        "step_0": 1,
        "step_1": 2,
        "step_9": 1,
    }
    assert attempts(tmp_path, "step_1.pt") == 2
    assert {outcome.provenance["threads"] for outcome in outcomes.values()} == {1}
    assert_same_store(tmp_path / "store", reference)
