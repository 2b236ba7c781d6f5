"""Samples on a memory map stay in their file: the numbers of samples in memory, in the memory of a mini-batch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import scalecurv as sc
from scalecurv.data.load import load_data
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from scalecurv.samples import mapped
from scalecurv.samples.mapped import Mapped, cut, stays_mapped
from scalecurv.samples.pairs import Pair

N, WIDTH = 50, 3
RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.standard_normal((N, WIDTH), np.float32), np.arange(N) % 2


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a kilobyte is large."""
    monkeypatch.setattr(mapped, "LARGE", 100)
    monkeypatch.setattr(mapped, "BLOCK", 64)


@pytest.fixture
def on_file(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    np.save(tmp_path / "x.npy", INPUTS)
    np.save(tmp_path / "y.npy", TARGETS)
    return np.load(tmp_path / "x.npy", mmap_mode="r"), np.asarray(np.load(tmp_path / "y.npy", mmap_mode="r"))


def problem(data: tuple[object, object], **options: object) -> sc.Problem:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    return sc.Problem(model, data, batch_size=7, **options)  # type: ignore[arg-type]


def test_numbers_are_those_of_samples_in_memory(on_file: tuple[np.ndarray, np.ndarray]) -> None:
    here, there = problem((INPUTS, TARGETS)), problem(on_file)
    assert isinstance(there.rows, Mapped)
    assert there.num_data == here.num_data
    for one, other in ((here, there), (here.astype(torch.float64), there.astype(torch.float64))):
        assert [batch.start for batch in other.batches()] == [batch.start for batch in one.batches()]
        (loss, gradient), (again, same) = loss_and_gradient(one), loss_and_gradient(other)
        assert loss == again
        assert torch.equal(gradient, same)
    assert torch.equal(sc.hessian(here) @ gradient.float(), sc.hessian(there) @ gradient.float())
    some = torch.tensor([40, 3, 3, 17])
    assert torch.equal(there.rows.take(some).x, here.rows.take(some).x)
    assert torch.equal(there.rows.take(some).y, here.rows.take(some).y)
    assert torch.equal(there.x, here.x)


def test_each_rank_maps_its_rows(on_file: tuple[np.ndarray, np.ndarray]) -> None:
    parts = [problem(on_file, shard=Shard(rank, 3)) for rank in range(3)]
    assert [part.num_data for part in parts] == [N] * 3
    assert torch.equal(torch.cat([part.x for part in parts]), torch.from_numpy(INPUTS))  # type: ignore[arg-type]


def test_whole_data_is_refused_where_it_takes_more_than_the_memory(on_file: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(sc.Misuse, match=f"all {N} samples at once, and they stay in their file, .* give memory=1000"):
        _ = problem(on_file, memory=999).x


def test_a_bad_row_far_down_is_found(tmp_path: Path) -> None:
    bad = INPUTS.copy()
    bad[33, 1] = np.nan
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(sc.Misuse, match=r"x holds 1 non-finite value.*sample 33"):
        problem((np.load(tmp_path / "x.npy", mmap_mode="r"), TARGETS))


def test_what_stays_in_its_file(on_file: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    assert stays_mapped(Pair(*on_file))
    assert not stays_mapped(Pair(INPUTS, TARGETS))
    assert sum(len(some) for some, _ in cut(Pair(*on_file))) == N
    monkeypatch.setattr(mapped, "LARGE", 1 << 20)
    assert not stays_mapped(Pair(*on_file))


def test_a_data_file_is_mapped_to_the_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.data.stored.LARGE", 100)
    for name, array in (("x", INPUTS), ("y", TARGETS)):
        np.save(tmp_path / f"{name}.npy", array)
    data = load_data(tmp_path)
    assert isinstance(problem(data.samples()).rows, Mapped)  # type: ignore[union-attr]
    assert isinstance(problem(data.quantities()).rows, Mapped)  # type: ignore[union-attr]
    np.save(tmp_path / "x.npy", (10 * INPUTS).astype(np.int16))
    whole = load_data(tmp_path)
    assert isinstance(problem(whole.quantities()).rows, Mapped)  # type: ignore[union-attr]


PROGRAM = """
import resource, sys, numpy as np, torch, scalecurv as sc
def made(x, y, memory):
    torch.manual_seed(0)
    return sc.Problem(torch.nn.Sequential(torch.nn.Linear(1024, 1)), (x, y), "mse", memory=memory)
sc.gradient(made(np.zeros((4, 1024), np.float32), np.zeros((4, 1), np.float32), None))  # imports
used = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)
x = np.memmap(sys.argv[1], np.float32, "r", 0, (72_000, 1024))
problem = made(x, np.zeros((72_000, 1), np.float32), 8 << 20)
bias = float(problem.theta[-1])
print(abs(float(sc.gradient(problem)[-1]) / bias - 1) < 1e-5)
try:
    torch.from_numpy(np.array(x))
except MemoryError:
    print("no room for a copy")
"""


def test_a_file_larger_than_the_memory(tmp_path: Path) -> None:
    """A sparse file of 281 MiB in a process that may take 64 MiB: all inputs are 0, and the gradient is the bias."""
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        file.truncate(72_000 << 12)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True)
    assert (done.stdout.split("\n"), done.stderr) == (["True", "no room for a copy", ""], "")


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_come_in_any_byte_order(order: str) -> None:
    """A file of another machine may hold the highest byte first, which torch does not take."""
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3)
    here = sc.Problem(torch.nn.Linear(2, 3), (x.astype(f"{order}f4"), y.astype(f"{order}i8")))
    assert here.x.tolist() == x.tolist()
    assert here.y.tolist() == y.tolist()
