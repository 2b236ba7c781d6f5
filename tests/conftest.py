"""What every test rests on: one thread, so that times and rounding repeat."""

import os
import signal
from collections.abc import Iterator
from typing import Any

# For NumPy, and for torch in processes that tests start: beside other tests, threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's 15 workers starve beside whatever else is running
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# a suite started in the background ignores Ctrl-C, and would hand that on to every process it starts
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put all tests that touch Ray into one process, where they share a cluster; the others go where there is room."""
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """The ray module, connected to an embedded cluster of two cores that all tests of this process share."""
    from scalecurv.engine.session import ray_session

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)  # of a cluster that the tests have no business with
        with ray_session(None, num_cpus=2, num_gpus=0) as ray:
            yield ray


@pytest.fixture
def measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are read, and every measure finds a loss of 1 in no time."""
    from tests.runs import found_at_once

    monkeypatch.setattr("scalecurv.engine.worker.records_of", found_at_once)
