"""Each example runs as it stands and ends with one number that is that of the dense Hessian."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
CHECKED = r"{} at step \d+: (\S+), from the dense Hessian (\S+)|{}: (\S+), from the dense Hessian (\S+)"
# what the last line is about; those that import more than torch run in processes of their own
HERE = {
    "plain_loop": "lambda_max",
    "nanogpt": "trace",
    "batch_norm_cnn": "lambda_max",
    "two_inputs": "lambda_min",
    "monitor": "trace",
}
NOTEBOOKS = ("first_look", "make_notebooks")  # run by tests/test_notebooks.py
APART = {"lightning_checkpoints": "trace", "hugging_face": "lambda_max"}
CALLBACKS = {"lightning_callback": "trace", "hugging_face_callback": "lambda_max"}  # tests/callbacks loads both


def check_last_line(said: str, quantity: str) -> None:
    match = re.fullmatch(CHECKED.format(quantity, quantity), said.splitlines()[-1])
    assert match is not None, said
    value, truth = (float(number) for number in match.groups() if number is not None)
    assert value == pytest.approx(truth, rel=1e-8)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("name", HERE)
def test_an_example(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    check_last_line(capsys.readouterr().out, HERE[name])


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")  # advice
@pytest.mark.parametrize("name", CALLBACKS)
def test_an_example_of_a_callback(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    check_last_line(capsys.readouterr().out, CALLBACKS[name])


@pytest.mark.parametrize("name", APART)
def test_an_example_in_a_process_of_its_own(name: str) -> None:
    """Neither Lightning nor transformers stays imported, and no advice of theirs is an error here."""
    words = (sys.executable, FOLDER / f"{name}.py")
    done = subprocess.run(words, capture_output=True, text=True, cwd=FOLDER)
    assert done.returncode == 0, done.stderr
    check_last_line(done.stdout, APART[name])


def test_the_list_of_examples_is_complete() -> None:
    listed = set(re.findall(r"\]\(([\w/.]+)\)", (FOLDER / "README.md").read_text()))
    held = {path.name for path in FOLDER.glob("*.py")} | {"own_measure/", "first_look.ipynb"}
    assert listed == held
    assert {f"{name}.py" for name in (*HERE, *APART, *CALLBACKS, "dense", "learning_rates", *NOTEBOOKS)} | {
        "own_measure/",
        "first_look.ipynb",
    } == held
