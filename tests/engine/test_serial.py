"""The for loop keeps the pool's promises: three attempts at memory, none at bugs, one checkpoint after the other."""

from pathlib import Path

import pytest

from scalecurv.engine.attempts import Done, GivenUp, UnexpectedError
from scalecurv.engine.serial import run_serial
from scalecurv.engine.threads import Threads
from tests.engine.fakes import Scripted, attempts


def test_checkpoints_in_turn_with_attempts_counted(tmp_path: Path) -> None:
    news = list(run_serial(Scripted(tmp_path), ["good", "memory", "hungry"], "cpu", Threads(3, "asked")))
    assert news == [
        Done("good", "good analysed", 1),
        GivenUp("memory", "out of memory: no room for a basis", 3),
        Done("hungry", "hungry analysed", 2),
    ]
    assert attempts(tmp_path, "memory") == 3
    assert (tmp_path / "told").read_text() == "cpu 3"
    assert attempts(tmp_path, "worker") == 1


def test_a_bug_names_its_checkpoint_and_stops_the_rest(tmp_path: Path) -> None:
    running = run_serial(Scripted(tmp_path), ["good", "crash", "never"], "cpu", Threads(1, "asked"))
    assert next(running) == Done("good", "good analysed", 1)
    with pytest.raises(UnexpectedError) as caught:
        next(running)
    assert caught.value.path == "crash"
    first, *traceback = str(caught.value).splitlines()
    assert first == "while analysing crash:"
    assert traceback[-1] == "ZeroDivisionError: the bug itself"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (attempts(tmp_path, "crash"), attempts(tmp_path, "never")) == (1, 0)


def test_a_checkpoint_runs_only_when_it_is_asked_for(tmp_path: Path) -> None:
    running = run_serial(Scripted(tmp_path), ["good-1", "good-2"], "cpu", Threads(1, "asked"))
    next(running)
    running.close()
    assert (attempts(tmp_path, "good-1"), attempts(tmp_path, "good-2")) == (1, 0)
