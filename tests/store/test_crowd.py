"""Real processes on one store: what a writer said is there for every reader from then on, whoever is killed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import HANG, environment
from tests.outcomes import store_of


def crowd(folder: Path, *arguments: object) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.store.crowd", arguments[0], store_of(folder / "store"), *arguments[1:]]
    done = subprocess.run(
        [str(word) for word in words],
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


@pytest.mark.fault
def test_two_writers_that_merge_and_a_reader(tmp_path: Path) -> None:
    told = crowd(tmp_path, "together", 0.5)
    assert told["found"] == []
    assert (told["codes"], told["same"]) == ([0, 0], True)  # at the end nothing lost, nothing else
    assert min(told["reads"], told["merges"]) >= 3
    assert told["keys"] >= 5


@pytest.mark.fault
def test_writers_and_mergers_killed_again_and_again(tmp_path: Path) -> None:
    told = crowd(tmp_path, "killed", 10)
    assert (told["found"], told["merged"], told["loose"]) == ([], True, [])
    assert told["keys"] >= 5
