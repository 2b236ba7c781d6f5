"""Two real processes share a dataset, on the loopback interface: the rows of one, though a rank is killed."""

import ipaddress
import math
import os
from pathlib import Path
from typing import Any

import pytest

from scalecurv.analysis import Request
from scalecurv.checkpoints.problem_file import read_spec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.attempts import Done, UnexpectedError
from scalecurv.engine.data_parallel import DataParallelGroup
from scalecurv.engine.embedded_cluster import family_of
from scalecurv.engine.worker import Worker
from scalecurv.engine.worker_spec import WorkerSpec
from scalecurv.measures import measures_named
from scalecurv.record import Outcome
from tests.commands import deadline, wait_for
from tests.engine.fakes import DiesOnce, attempts
from tests.engine.test_session import listening
from tests.runs import write_run

REQUEST = Request(measures_named(("gradient", "extremes", "moments"), max_matvecs=64, route="generic"), seed=2)


def numbers(outcome: Outcome) -> dict[str, list[float]]:
    found = {}
    for record in outcome.records:
        for (name, layer), e in record.estimates.items():
            if name != "noise_floor":  # of rounding itself
                found[f"{name} {layer}"] = [e.value, e.lower, e.upper, e.stderr, e.num_samples, e.num_matvecs]
    return found


@pytest.mark.ray
@pytest.mark.fault
def test_two_processes_find_what_one_finds_though_a_rank_is_killed(cluster: Any, tmp_path: Path) -> None:
    """Step 0 at the second attempt, then a bug at step 1; no process and no reservation is left."""
    run = write_run(tmp_path / "run", range(2), activation="tanh")
    worker = Worker(Task.read(read_spec(run, {})), REQUEST, Arithmetic("float64"))
    paths = [str(run / f"step_{i}.pt") for i in range(2)]
    dying: Any = DiesOnce(worker, tmp_path, "step_0.pt", rank=1, bug="step_1.pt")
    running = DataParallelGroup(cluster, dying, WorkerSpec(2), 2).run(paths)
    with deadline():
        done = next(running)
        addresses = {ipaddress.ip_address(host) for host, _ in listening(family_of(os.getpid()))}
        assert all((getattr(one, "ipv4_mapped", None) or one).is_loopback for one in addresses), addresses
        with pytest.raises(
            UnexpectedError, match=r"(?s)^while analysing .*step_1.pt:.*ZeroDivisionError: the bug itself$"
        ):
            next(running)
    assert isinstance(done, Done)
    assert (done.path, done.attempt, attempts(tmp_path, "step_0.pt")) == (paths[0], 2, 2)
    assert done.result.provenance["ranks"] == 2
    alone = worker.on("cpu", 1)(paths[0])
    found, wanted = numbers(done.result), numbers(alone)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        size = max((abs(v) for v in values[:4] if math.isfinite(v)), default=0.0)
        assert found[name] == pytest.approx(values, rel=1e-12, abs=1e-12 * size, nan_ok=True), name
    assert wait_for(lambda: cluster.available_resources().get("CPU") == 2)
    from ray.util import placement_group_table

    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}
