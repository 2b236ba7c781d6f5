"""A worker makes of one path an Outcome whatever the file holds, MemoryError where there was no room."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalecurv.analysis import Identity, Request
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import read_spec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.provenance import versions
from scalecurv.engine.worker import Worker, failure
from scalecurv.machine import default_memory
from scalecurv.measures import Gradient, measures_named
from scalecurv.record import FileStamp, Stored
from tests.runs import write_checkpoint, write_run

REQUEST = Request(measures_named(("gradient", "moments"), max_matvecs=64), seed=5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", steps=[7])


def worker_of(run: Path, model: str | None = None) -> Worker:
    return Worker(Task.read(read_spec(run, {"model": model})), REQUEST, Arithmetic())


def test_an_outcome_tells_everything(run: Path) -> None:
    path, worker = run / "step_7.pt", worker_of(run)
    outcome = worker.on("cpu", 1)(str(path))
    checkpoint, stat = load(path), path.stat()
    assert (outcome.path, outcome.status, outcome.error) == (str(path), "ok", "")
    assert outcome.stamp == FileStamp(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    assert outcome.fingerprint == checkpoint.fingerprint
    assert (outcome.step, outcome.epoch) == (7, None)
    assert outcome.num_params == 6 * 5 + 5 + 5 * 3 + 3
    assert (outcome.dtype, outcome.own_dtype, outcome.seed, outcome.attempt) == ("float32", "float32", 5, 1)
    assert outcome.task_id == worker.task.id
    assert outcome.task["num_outputs"] == 3
    assert '"widths": [6, 5, 3]' in outcome.architecture
    assert [record.measure for record in outcome.records] == ["gradient", "moments"]
    identity = Identity(checkpoint.fingerprint, worker.task.id, "float32")
    assert [record.key for record in outcome.records] == list(REQUEST.keys(identity))
    assert outcome.total_matvecs >= max(e.num_matvecs for r in outcome.records for e in r.estimates.values()) > 0


def test_what_is_known_is_not_computed(run: Path) -> None:
    path = str(run / "step_7.pt")
    whole = worker_of(run).on("cpu", 1)(path)
    gradient, moments = whole.records
    rest = replace(worker_of(run), known={gradient.key: Stored(width=0.0)}).on("cpu", 1)(path)
    assert [(r.key, r.estimates) for r in rest.records] == [(moments.key, moments.estimates)]
    nothing = replace(worker_of(run), known=dict.fromkeys([gradient.key, moments.key], Stored(width=0.0))).on("cpu", 1)(
        path
    )
    assert (nothing.status, nothing.records, nothing.total_matvecs) == ("ok", (), 0)


def test_the_dtype_asked_for_does_not_hide_the_files_own(run: Path) -> None:
    worker = replace(worker_of(run), arithmetic=Arithmetic(dtype="float64"))
    outcome = worker.on("cpu", 1)(str(run / "step_7.pt"))
    assert (outcome.dtype, outcome.own_dtype) == ("float64", "float32")


def test_provenance_says_with_what(run: Path) -> None:
    try:
        outcome = replace(worker_of(run), arithmetic=Arithmetic(batch_size=4)).on("cpu", 2)(str(run / "step_7.pt"))
    finally:
        torch.set_num_threads(1)
    assert outcome.provenance == {
        **versions(),
        "git": outcome.provenance["git"],  # may move under a long run of tests
        "torch": torch.__version__,
        "device": "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "differentiation": "closed form",
        "columns": 64,
        "threads": 2,
        "config": {
            "batch_size": 4,
            "memory": default_memory(),
            "seed": 5,
            "measures": {"gradient": {}, "moments": {"rtol": 0.01, "max_matvecs": 64, "memory": default_memory()}},
        },
    }


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "{} cannot be opened (No such file or directory); every worker must see this"),
        (lambda path: write_checkpoint(path, widths=(4, 3)), "{} takes 4 inputs but x has 6 a sample, shape (20, 6);"),
    ],
    ids=["gone", "width"],
)
def test_a_file_that_cannot_be_analysed_is_a_failure(run: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    path = run / "step_7.pt"
    spoil(path)
    outcome = worker_of(run).on("cpu", 1)(str(path))
    assert (outcome.status, outcome.records, outcome.step, outcome.seed) == ("failed", (), 7, 5)
    assert outcome.error.startswith(message.format(path))
    assert (outcome.stamp is None) == (not path.exists())
    assert outcome.provenance["threads"] == 1
    assert replace(failure(str(path), outcome.error, outcome.task_id, 5), created=0.0) == replace(
        outcome, created=0.0, provenance={}
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("hungry", r"^\[enforce fail .* can't allocate memory: you tried to allocate 1125899906842624 bytes"),
        ("hungry_on_gpu", r"^CUDA out of memory. Tried to allocate 2.00 GiB.$"),
    ],
)
def test_no_room_is_memory_error(run: Path, model: str, message: str) -> None:
    analyse = worker_of(run, f"tests.engine.models:{model}").on("cpu", 1)
    with pytest.raises(MemoryError, match=message):
        analyse(str(run / "step_7.pt"))


def test_an_exception_of_the_model_is_a_failed_checkpoint(run: Path) -> None:
    outcome = worker_of(run, "tests.engine.models:broken").on("cpu", 1)(str(run / "step_7.pt"))
    assert outcome.status == "failed"
    assert outcome.error.endswith(": a shape went wrong")


def test_any_other_exception_is_a_bug(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(*_: object) -> None:
        raise RuntimeError("a shape went wrong")

    monkeypatch.setattr(Gradient, "compute", compute)
    with pytest.raises(RuntimeError, match=r"^a shape went wrong$"):
        worker_of(run).on("cpu", 1)(str(run / "step_7.pt"))


@pytest.mark.parametrize(("asked", "coarse"), [("tf32", True), (None, False), ("float32", False), ("float64", False)])
def test_coarse_products_only_where_asked(run: Path, asked: str | None, coarse: bool) -> None:
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = not coarse
    try:
        outcome = replace(worker_of(run), arithmetic=Arithmetic(dtype=asked)).on("cpu", 1)(str(run / "step_7.pt"))
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (coarse, coarse)
        assert outcome.dtype == (asked or "float32")
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = flags
