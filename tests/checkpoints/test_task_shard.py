"""A task at one rank of several: its own rows of the data, the identity of all of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.problem.shard import Shard

RNG = np.random.default_rng(0)
PIXELS, CLASSES = RNG.integers(0, 256, (7, 2, 2), dtype=np.uint8), np.array([0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_rank_takes_its_own_rows(tmp_path: Path, kind: type) -> None:
    np.savez(tmp_path / "d.npz", x=PIXELS.astype(kind), y=CLASSES)
    torch.save(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).state_dict(), tmp_path / "step_1.pt")
    task = Task.read(ProblemSpec(tmp_path / "d.npz", "cross_entropy", "mean", "mlp", "relu"))
    checkpoint = load(tmp_path / "step_1.pt")
    whole = task.at(checkpoint, Arithmetic())[0]
    parts = [task.at(checkpoint, Arithmetic(), Shard(rank, 2))[0] for rank in range(2)]
    assert [part.num_local for part in parts] == [3, 4]
    assert [part.num_data for part in parts] == [7, 7]
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
    assert torch.equal(torch.cat([part.y for part in parts]), whole.y)
    assert torch.equal(whole.x, torch.from_numpy(PIXELS.astype(np.float32)))
    assert task.describe(3)["num_data"] == 7
