"""Ranks that share the data hold the same weights, or all of them say why not."""

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from scalecurv.analysis import Request
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.problem_file import read_spec
from scalecurv.checkpoints.task import Arithmetic, Task
from scalecurv.engine.worker import Worker
from scalecurv.measures import measures_named
from scalecurv.problem.shard import TEXT, Shard
from tests.ranks import answers, ask_ranks
from tests.runs import write_checkpoint, write_run

pytestmark = pytest.mark.xdist_group("ranks")  # one group of processes answers all of them


def fingerprint(shard: Shard | None, kind: str) -> str:
    """Return the fingerprint of a checkpoint that the second rank finds changed or gone."""
    with tempfile.TemporaryDirectory() as name:
        run = write_run(Path(name) / "run", range(1))
        path = run / "step_0.pt"
        worker = Worker(
            Task.read(read_spec(run, {})), Request(measures_named(("gradient",))), Arithmetic(), shard=shard
        )
        if shard is not None and shard.rank == 1:
            if kind == "changed":
                write_checkpoint(path, seed=5)
            elif kind == "gone":
                path.unlink()
        try:
            return worker._load(path).fingerprint
        except Exception as error:
            raise type(error)(re.sub(r"\S*/run/", "RUN/", str(error))) from error


def words(shard: Shard | None) -> list[Any]:
    own = shard or Shard()
    said = [own.first(None), own.first("one" if own.rank == 1 else None)]
    return [*said, own.agree("x"), own.agree(str(own.rank)), own.first("ä" * TEXT)]


QUESTIONS = {
    "the same": lambda shard: fingerprint(shard, "same"),
    "changed": lambda shard: fingerprint(shard, "changed"),
    "gone": lambda shard: fingerprint(shard, "gone"),
    "words": words,
}
CHANGED = "CheckpointError: RUN/step_0.pt changed while its ranks read it; run again once it is written"
GONE = "CheckpointError: RUN/step_0.pt cannot be opened (No such file or directory); every worker must see this path"


@pytest.mark.parametrize(("name", "said"), [("changed", CHANGED), ("gone", GONE)])
def test_a_file_that_is_another_on_one_rank_is_refused_on_all(name: str, said: str) -> None:
    assert [found[name] for found in (rank[__name__] for rank in ask_ranks())] == [said, said]


def test_the_same_file_is_read_by_all(tmp_path: Path) -> None:
    wanted = load(write_run(tmp_path / "run", range(1)) / "step_0.pt").fingerprint
    assert [rank[__name__]["the same"] for rank in ask_ranks()] == [wanted, wanted]
    assert answers({"the same": QUESTIONS["the same"]})["the same"] == wanted


def test_words_travel_as_bytes_and_long_ones_are_cut() -> None:
    for found in (rank[__name__]["words"] for rank in ask_ranks()):
        assert found == [None, "one", True, False, "ä" * (TEXT // 2)]
    assert words(None) == [None, None, True, True, "ä" * TEXT]
