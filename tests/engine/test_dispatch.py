"""Who runs where, and with what: wishes that cannot be met are said before any checkpoint is analysed."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scalecurv.engine import dispatch
from scalecurv.engine.attempts import Done
from scalecurv.engine.cost import Cost
from scalecurv.engine.dispatch import choose, num_cores, run
from scalecurv.engine.resources import Resources, check_device, serial_device
from scalecurv.engine.worker_spec import UNLIMITED, WorkerSpec, nodes_of
from scalecurv.errors import Misuse
from tests.engine.fake_ray import FakeRay
from tests.engine.fakes import Scripted, attempts

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.fixture(autouse=True)
def _no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB, raising=False)


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, gpus: int) -> None:
    monkeypatch.setattr(dispatch, "num_cores", lambda: cores)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("resources", "paths", "cores", "gpus", "engine"),
    [
        (Resources(), 5, 8, 0, "serial"),
        (Resources(), 1, 8, 0, "serial"),
        (Resources(), 5, 1, 0, "serial"),
        (Resources(), 5, 1, 2, "ray"),
        (Resources(workers=1), 5, 8, 0, "serial"),
        (Resources(workers=2), 5, 1, 0, "serial"),
        (Resources(device="cpu"), 5, 8, 2, "serial"),
        (Resources(address="10.0.0.1:6379"), 5, 1, 0, "ray"),
        (Resources(address="10.0.0.1:6379"), 1, 1, 0, "ray"),
        (Resources(engine="ray"), 1, 1, 0, "ray"),
        (Resources(engine="serial", address="10.0.0.1:6379"), 5, 8, 4, "serial"),
        (Resources(plan="probes"), 1, 8, 0, "ray"),
        (Resources(plan="probes"), 1, 1, 0, "serial"),
        (Resources(plan="probes", workers=2), 1, 1, 0, "ray"),
    ],
)
def test_auto_is_ray_where_more_is_to_be_had_than_cores(
    monkeypatch: pytest.MonkeyPatch, resources: Resources, paths: int, cores: int, gpus: int, engine: str
) -> None:
    machine(monkeypatch, cores, gpus)
    assert choose(resources, paths).engine == engine


def test_a_job_has_a_cluster_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 1, 0)
    monkeypatch.setenv(JOB, "{}")
    assert choose(Resources(), 5).engine == "ray"


@pytest.mark.parametrize(
    ("resources", "nodes", "workers", "count"),
    [
        (Resources(), [{"CPU": 4.0}], WorkerSpec(), 4),
        (Resources(), [{"CPU": 4.0}, {}, {"CPU": 2.0}], WorkerSpec(), 6),
        (Resources(threads=3), [{"CPU": 8.0}, {"CPU": 2.0}, {"CPU": 4.0}], WorkerSpec(threads=3), 3),
        (Resources(workers=2), [{"CPU": 8.0}], WorkerSpec(2), 2),
        (Resources(workers=20), [{"CPU": 8.0}], WorkerSpec(20), 8),
        (Resources(), [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0}], WorkerSpec(gpus=1.0), 2),
        (Resources(gpus_per_worker=0.5), [{"CPU": 8.0, "GPU": 2.0}], WorkerSpec(gpus=0.5), 4),
        (Resources(gpus_per_worker=0.4), [{"CPU": 8.0, "GPU": 2.0}], WorkerSpec(gpus=0.4), 4),
        (Resources(gpus_per_worker=0.1), [{"CPU": 80.0, "GPU": 1.0}], WorkerSpec(gpus=0.1), 10),
        (Resources(gpus_per_worker=2), [{"CPU": 8.0, "GPU": 5.0}, {"CPU": 8.0, "GPU": 1.0}], WorkerSpec(gpus=2), 2),
        (Resources(device="cuda"), [{"CPU": 1.0, "GPU": 2.0}], WorkerSpec(gpus=1.0), 1),
        (Resources(device="cpu"), [{"CPU": 8.0, "GPU": 2.0}], WorkerSpec(), 8),
    ],
)
def test_one_worker_a_gpu_or_a_core_node_by_node(
    resources: Resources, nodes: list[dict[str, float]], workers: WorkerSpec, count: int
) -> None:
    assert dispatch.spec_for(resources, nodes) == workers
    assert workers.fit(nodes) == count
    assert WorkerSpec().most == UNLIMITED
    assert workers.fit([]) == 0


def test_only_nodes_that_live_count() -> None:
    assert nodes_of(FakeRay(lambda now: [{"CPU": 3.0}])) == [{"CPU": 3.0}]


NONE_HAS = "with {} GPUs a worker but no node of the Ray cluster has more than {}; give --device cpu, or fewer "


@pytest.mark.parametrize(
    ("resources", "nodes", "message"),
    [
        (
            Resources(threads=4),
            [{"CPU": 3.0}, {"CPU": 2.0}],
            "--threads 4 but no node of the Ray cluster has more than 3 CPUs for workers; give fewer",
        ),
        (
            Resources(),
            [{}],
            "--threads 1 but no node of the Ray cluster has more than 0 CPUs for workers; give fewer",
        ),
        (
            Resources(device="cuda"),
            [{"CPU": 2.0}],
            f"--device cuda {NONE_HAS.format(1, 0)}--gpus-per-worker",
        ),
        (
            Resources(gpus_per_worker=2),
            [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}],
            f"--device auto {NONE_HAS.format(2, 1)}--gpus-per-worker",
        ),
    ],
)
def test_what_no_node_has_is_not_waited_for(resources: Resources, nodes: list[dict[str, float]], message: str) -> None:
    with pytest.raises(Misuse) as caught:
        dispatch.spec_for(resources, nodes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("plan", "paths", "workers", "members"),
    [("checkpoints", 1, 8, 1), ("probes", 5, 8, 8), ("auto", 1, 8, 8), ("auto", 3, 8, 2), ("auto", 9, 8, 1)],
)
def test_who_would_be_idle_may_help(plan: str, paths: int, workers: int, members: int) -> None:
    assert dispatch.workers_per_checkpoint(plan, paths, workers) == members


@pytest.mark.parametrize(("seconds", "read", "members"), [(0.5, True, 4), (0.001, True, 1), (0.5, False, 1)])
def test_auto_shares_probes_where_the_first_checkpoint_is_read_and_dear(
    monkeypatch: pytest.MonkeyPatch, seconds: float, read: bool, members: int
) -> None:
    """100 products of probes at the one checkpoint, four workers: 37 s are saved, or 0.07 s."""
    asked: list[Any] = []

    class Dear:
        def cost(self, *given: Any) -> Cost:
            asked.append(given)
            return Cost(150, 100, seconds, 0)

    def pool(ray: Any, worker: Any, spec: WorkerSpec, tell: Any) -> Any:
        asked.append(spec)
        return SimpleNamespace(run=lambda paths: iter(()))

    monkeypatch.setattr(dispatch, "_ray", lambda resources: nullcontext(FakeRay(lambda now: [{"CPU": 4.0}])))
    monkeypatch.setattr(dispatch, "Pool", pool)
    first: Any = "a checkpoint" if read else None
    assert list(run(Dear(), ["one"], Resources("ray", device="cpu"), first)) == []  # type: ignore[arg-type]
    wanted = [("a checkpoint", "cpu", 1)] if read else []
    assert asked == [*wanted, WorkerSpec(per_checkpoint=members)]


ABSENT = "--device {} but torch sees {} GPU(s) on this machine; give --device cpu, or the --address of a cluster that "
ALONE = "--engine serial runs in this process; leave --address and --workers out, or give --engine ray"


@pytest.mark.parametrize(
    ("resources", "gpus", "message"),
    [
        (Resources(device="gpu"), 1, "unknown --device 'gpu'; choose from auto, cpu, cuda"),
        (Resources(device="cuda:x"), 1, "unknown --device 'cuda:x'; choose from auto, cpu, cuda"),
        (Resources(device="cuda"), 0, ABSENT.format("cuda", 0) + "has one"),
        (Resources(device="cuda:1"), 1, ABSENT.format("cuda:1", 1) + "has one"),
        (Resources("serial", device="cuda"), 0, ABSENT.format("cuda", 0) + "has one"),
        (Resources("serial", "10.0.0.1:6379"), 0, ALONE),
        (Resources("serial", workers=2), 0, ALONE),
        (Resources(plan="weights"), 0, "unknown --plan 'weights'; choose from auto, checkpoints, probes, data"),
        (
            Resources("serial", plan="probes"),
            0,
            "--plan probes needs several workers, --engine serial has one; leave one of them out",
        ),
    ],
)
def test_a_device_that_is_not_there_is_misuse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, resources: Resources, gpus: int, message: str
) -> None:
    machine(monkeypatch, 2, gpus)
    with pytest.raises(Misuse) as caught:
        list(run(Scripted(tmp_path), ["good"], resources))  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert attempts(tmp_path, "worker") == 0


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        (Resources("serial", workers=1), 0),
        (Resources(device="cuda:1"), 2),
        (Resources(device="cuda", address="10.0.0.1:6379"), 0),
    ],
)
def test_what_it_can_or_another_may_is_none(monkeypatch: pytest.MonkeyPatch, resources: Resources, gpus: int) -> None:
    machine(monkeypatch, 2, gpus)
    assert check_device(resources) is None


@pytest.mark.parametrize(
    ("asked", "gpus", "device"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cuda", 2, "cuda:0"), ("cuda:1", 2, "cuda:1"), ("cpu", 2, "cpu")],
)
def test_the_loop_takes_the_first_gpu(monkeypatch: pytest.MonkeyPatch, asked: str, gpus: int, device: str) -> None:
    machine(monkeypatch, 2, gpus)
    assert serial_device(asked) == device


@pytest.mark.parametrize(("threads", "told"), [(None, f"cpu {num_cores()}"), (5, "cpu 5")])
def test_the_loop_has_all_cores_unless_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int | None, told: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    resources = Resources("serial", threads=threads, device="cpu")
    news = list(run(Scripted(tmp_path), ["good-1", "good-2"], resources))  # type: ignore[arg-type]
    assert news == [Done(path, f"{path} analysed", 1) for path in ("good-1", "good-2")]
    assert (tmp_path / "told").read_text() == told


@pytest.mark.ray
def test_a_wish_that_the_cluster_cannot_meet_starts_no_worker(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(
        Misuse, match=r"^--threads 3 but no node of the Ray cluster has more than 2 CPUs for workers; give fewer$"
    ):
        list(run(Scripted(tmp_path), ["good"], Resources("ray", threads=3)))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
