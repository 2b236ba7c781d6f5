"""Many directories, one task: the nearest problem.json describes, and all that describe must agree."""

import json
from pathlib import Path

import pytest

from scalecurv.checkpoints import task as task_module
from scalecurv.checkpoints.common_task import common_task
from scalecurv.errors import Misuse
from tests.runs import write_checkpoint, write_run


def names(files: list[Path]) -> list[str]:
    return [f"{file.parent.name}/{file.name}" for file in files]


def test_a_file_finds_the_problem_beside_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    task, files = common_task([run / "step_0.pt"], {})
    assert (task.spec.loss, task.spec.data, names(files)) == ("cross_entropy", run / "data.npz", ["a/step_0.pt"])


def test_runs_of_equal_content_are_one_task(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [0]), write_run(tmp_path / "b", [1])
    together, files = common_task([a, b], {})
    assert together.id == common_task([a], {})[0].id
    assert names(files) == ["a/step_0.pt", "b/step_1.pt"]
    assert names(common_task([tmp_path], {})[1]) == names(files)  # found below what was given


@pytest.mark.parametrize("given", [["a", "b"], ["."]])
def test_runs_that_differ_are_refused(tmp_path: Path, given: list[str]) -> None:
    write_run(tmp_path / "a", [0])
    write_run(tmp_path / "b", [0], loss="mse")
    with pytest.raises(Misuse) as caught:
        common_task([tmp_path / folder for folder in given], {})
    assert str(caught.value) == (
        f"{tmp_path}/a/problem.json and {tmp_path}/b/problem.json describe different problems; analyse their "
        f"directories one after the other, into one store if you like"
    )
    task, _ = common_task([tmp_path / folder for folder in given], {"loss": "mse"})  # what is said, is said of all
    assert task.spec.loss == "mse"


def test_the_nearest_file_describes_and_none_above_what_was_given(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a")
    inner = run / "checkpoint-5"
    inner.mkdir()
    write_checkpoint(inner / "model.pt")
    assert common_task([tmp_path / "runs"], {})[0].spec.data == run / "data.npz"
    (tmp_path / "problem.json").write_text(json.dumps({"loss": "mse"}))
    with pytest.raises(Misuse, match=r"^data, loss and activation are given neither .*checkpoint-5/problem\.json"):
        common_task([inner], {})


def test_data_of_several_runs_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = write_run(tmp_path / "a", [0]), write_run(tmp_path / "b", [1], loss="mse")
    read: list[Path] = []
    load = task_module.load_data
    monkeypatch.setattr(task_module, "load_data", lambda path, *rest: read.append(path) or load(path, *rest))
    with pytest.raises(Misuse, match="describe different problems"):  # each keeps its own loss
        common_task([a, b], {"data": a / "data.npz"})
    assert read == [a.resolve() / "data.npz"]
    read.clear()
    common_task([a, b], {"loss": "mse"})
    assert sorted(read) == [a.resolve() / "data.npz", b.resolve() / "data.npz"]
