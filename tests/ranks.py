"""Processes that share a dataset: each of them computes the results that test modules compare."""

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.shard import Shard
from tests.commands import HANG

ROOT = Path(__file__).parents[1]
MODULES = (
    "tests.problem.test_shard",
    "tests.measures.test_shard",
    "tests.measures.test_check_shard",
    "tests.engine.test_same_weights",
)
SIZE = 2
Question = Callable[[Shard | None], Any]


def answers(questions: Mapping[str, Question], shard: Shard | None = None) -> dict[str, Any]:
    """Return the result of each function in this process, or the text of the error that it raised."""
    found: dict[str, Any] = {}
    for name, question in questions.items():
        try:
            found[name] = question(shard)
        except (CheckpointError, Misuse) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


@cache
def ask_ranks() -> list[dict[str, dict[str, Any]]]:
    """Return the results of the QUESTIONS of each module on every rank, from processes that form one group.

    The processes start once for all tests of a pytest process.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.ranks", folder]
        ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT, env=environment) for rank in range(SIZE)]
        try:
            assert [rank.wait(HANG) for rank in ranks] == [0] * SIZE
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
        return [pickle.loads(Path(folder, f"{rank}.pkl").read_bytes()) for rank in range(SIZE)]


def same(found: Any, wanted: Any) -> bool:
    """Return True where two results are equal to the last bit."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    return found == wanted if isinstance(wanted, str) else np.asarray(found).tobytes() == np.asarray(wanted).tobytes()


def main(folder: str, rank: int) -> None:
    torch.set_num_threads(1)
    patience = timedelta(seconds=HANG)
    dist.init_process_group("gloo", f"file://{folder}/meet", patience, rank=rank, world_size=SIZE)
    found = {name: answers(importlib.import_module(name).QUESTIONS, Shard(rank, SIZE)) for name in MODULES}
    Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
