"""problem.json and options together: options win, and what is said nowhere or wrongly is told in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scalecurv.checkpoints.problem_file import ProblemSpec, read_spec
from scalecurv.errors import MissingOptions, Misuse
from scalecurv.problem.losses import LOSSES
from tests.runs import write_checkpoint, write_truncated

CHOOSE = f"choose from {', '.join(LOSSES)}, a loss of torch.nn such as CrossEntropyLoss, or pkg.mod:function"
NOTHING = dict.fromkeys(("data", "loss", "reduction", "model", "activation"))
WRITTEN = {"data": "data.npz", "loss": "mse", "reduction": "sum", "model": "mlp", "activation": "tanh"}


def write(folder: Path, content: Any) -> Path:
    file = folder / "problem.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def complaint(folder: Path, given: dict[str, Any]) -> str:
    with pytest.raises(Misuse) as caught:
        read_spec(folder, given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_says_it_all(tmp_path: Path) -> None:
    write(tmp_path, WRITTEN)
    assert read_spec(tmp_path, NOTHING) == ProblemSpec(tmp_path.resolve() / "data.npz", "mse", "sum", "mlp", "tanh")


def test_options_say_it_all_and_the_rest_has_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"data": Path("d.npz"), "loss": "cross_entropy", "activation": "relu"}
    spec = read_spec(tmp_path / "runs", given)
    assert spec == ProblemSpec(tmp_path.resolve() / "d.npz", "cross_entropy", None, "mlp", "relu")


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", "cross_entropy"), ("reduction", "mean"), ("activation", "relu")],
)
def test_each_option_wins_over_the_file(tmp_path: Path, name: str, value: str) -> None:
    write(tmp_path, WRITTEN)
    spec = read_spec(tmp_path, {**NOTHING, name: value})
    assert spec == ProblemSpec(**{**WRITTEN, "data": tmp_path.resolve() / "data.npz", name: value})


def test_paths_in_the_file_start_beside_it_and_options_where_you_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs", {**WRITTEN, "data": "../all/data.npz"})
    assert read_spec(Path("runs"), NOTHING).data == tmp_path.resolve() / "all/data.npz"
    assert read_spec(Path("runs"), {**NOTHING, "data": Path("mine.npz")}).data == tmp_path.resolve() / "mine.npz"
    write(tmp_path / "runs", {**WRITTEN, "data": "/data/d.npz"})
    assert read_spec(Path("runs"), NOTHING).data == Path("/data/d.npz")


def test_a_factory_has_its_own_activations(tmp_path: Path) -> None:
    write(tmp_path, WRITTEN)
    factory = {**NOTHING, "model": "pkg.mod:net"}
    data = tmp_path.resolve() / "data.npz"
    assert read_spec(tmp_path, factory) == ProblemSpec(data, "mse", "sum", "pkg.mod:net", None)
    message = "--activation says nothing of --model pkg.mod:net; leave it out"
    assert complaint(tmp_path, {**factory, "activation": "relu"}) == message


@pytest.mark.parametrize(("name", "instead"), [("model", "mlp"), ("loss", "mse"), ("data", Path("/data/d.npz"))])
def test_code_that_comes_with_the_files_is_not_run_unasked(tmp_path: Path, name: str, instead: Any) -> None:
    file = write(tmp_path, {**WRITTEN, name: "pkg.mod:name"})
    asked = f"asks to run pkg.mod:name, which comes with the files; give --{name} pkg.mod:name to allow it"
    assert complaint(tmp_path, NOTHING) == f"{file} {asked}"
    assert getattr(read_spec(tmp_path, {**NOTHING, name: instead}), name) == instead
    assert getattr(read_spec(tmp_path, {**NOTHING, name: "pkg.mod:name"}), name) == "pkg.mod:name"


def test_numbers_and_what_they_may_be(tmp_path: Path) -> None:
    file = write(tmp_path, {**WRITTEN, "weight_decay": 5e-4, "max_samples": 100, "split": "train"})
    spec = read_spec(tmp_path, NOTHING)
    assert (spec.weight_decay, spec.max_samples, spec.split) == (5e-4, 100, "train")
    assert read_spec(tmp_path, {**NOTHING, "weight_decay": 0.0}).weight_decay == 0.0
    message = "must be at least 0 and finite"
    assert complaint(tmp_path, {**NOTHING, "weight_decay": -1.0}) == f"weight_decay is -1.0; it {message}"
    assert complaint(tmp_path, {**NOTHING, "weight_decay": float("nan")}) == f"weight_decay is nan; it {message}"
    assert complaint(tmp_path, {**NOTHING, "max_samples": 0}) == "max_samples is 0; it must be at least 1"
    for name, value, words in (("weight_decay", "much", "a number"), ("max_samples", 1.5, "a whole number")):
        write(tmp_path, {**WRITTEN, name: value})
        assert complaint(tmp_path, NOTHING) == f"{file}: {name} is {value!r}; it must be {words}"
    write(tmp_path, {**WRITTEN, "max_samples": True})
    assert complaint(tmp_path, NOTHING) == f"{file}: max_samples is True; it must be a whole number"


def test_the_choice_of_tensors_may_stand_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, {**WRITTEN, "weights": "ema.shadow", "ignore": "^criterion[.]"})
    spec = read_spec(tmp_path, NOTHING)
    assert (spec.weights, spec.ignore) == ("ema.shadow", "^criterion[.]")
    assert read_spec(tmp_path, {**NOTHING, "weights": "model"}).weights == "model"
    write(tmp_path, {**WRITTEN, "ignore": "("})
    assert complaint(tmp_path, NOTHING).startswith("--ignore '(' is no regular expression (")
    assert complaint(tmp_path, {**NOTHING, "ignore": "[a"}).startswith("--ignore '[a' is no regular expression (")
    write(tmp_path, {**WRITTEN, "allow": "os.system"})
    assert "unknown key 'allow'" in complaint(tmp_path, NOTHING)


CHOICES = "relu (or leaky_relu, tanh, sigmoid, gelu, silu, softplus, elu, identity)"


GIVE = {
    "data": "--data FILE (arrays x and y)",
    "loss": f"--loss {'|'.join(LOSSES)}",
    "activation": f"--activation {CHOICES}",
}
EXAMPLES = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu"}


@pytest.mark.parametrize(
    ("lacking", "listed"),
    [
        (["data"], "data is"),
        (["loss"], "loss is"),
        (["activation"], "activation is"),
        (["data", "activation"], "data and activation are"),
        (["data", "loss", "activation"], "data, loss and activation are"),
    ],
)
def test_all_that_is_said_nowhere_is_told_at_once(tmp_path: Path, lacking: list[str], listed: str) -> None:
    file = tmp_path / "problem.json"
    *most, last = [GIVE[name] for name in lacking]
    give = f"{', '.join(most)} and {last}" if most else last
    content = {name: EXAMPLES[name] for name in lacking}
    told = f"{listed} given neither by an option nor by {file}; give {give}, or"
    options = {**NOTHING, "data": Path("d.npz"), "loss": "mse", "activation": "relu", **dict.fromkeys(lacking)}
    assert complaint(tmp_path, options) == f"{told} write {json.dumps(content)} into {file}"
    write(tmp_path, {name: value for name, value in WRITTEN.items() if name not in lacking})
    assert complaint(tmp_path, NOTHING) == f"{told} add {json.dumps(content)[1:-1]} to {file}"


def test_checkpoints_that_are_no_mlps_lack_a_model(tmp_path: Path) -> None:
    """One MLP among those that can be read is enough to ask for the activation."""
    mlp, cut = write_checkpoint(tmp_path / "mlp.pt"), write_truncated(tmp_path / "cut.pt")
    other = tmp_path / "other.pt"
    torch.save({"embedding.weight": torch.ones(3, 4), "scale": torch.ones(5)}, other)
    given = {**NOTHING, "data": Path("d.npz"), "loss": "mse"}
    wanted = {True: "model is", False: "activation is"}
    for files, is_other in (([other], True), ([cut, other], True), ([other, mlp], False), ([cut], False), ([], False)):
        with pytest.raises(MissingOptions) as caught:
            read_spec(tmp_path, given, files)
        assert str(caught.value).startswith(wanted[is_other]), files
        assert caught.value.examples == ({"model": "pkg.mod:factory"} if is_other else {"activation": "relu"})
    assert complaint_of(tmp_path, given, [other]) == (
        f"model is given neither by an option nor by {tmp_path}/problem.json, and {other} is no plain MLP; give "
        "--model pkg.mod:factory (a function that returns the torch Module)"
    )


def complaint_of(folder: Path, given: dict[str, Any], checkpoints: list[Path]) -> str:
    with pytest.raises(Misuse) as caught:
        read_spec(folder, given, checkpoints)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "hinge", f"unknown loss 'hinge'; {CHOOSE}"),
        ("loss", "Huber", f"unknown loss 'Huber' (did you mean huber?); {CHOOSE}"),
        ("loss", "huber(delta=-1)", "huber(delta=-1): delta is -1; give a number above 0"),
        ("reduction", "max", "unknown reduction 'max'; choose from mean, sum"),
        (
            "activation",
            "swish",
            "unknown activation 'swish'; choose from relu, leaky_relu, tanh, sigmoid, gelu, silu, softplus, elu, "
            "identity",
        ),
    ],
)
@pytest.mark.parametrize("by", ["file", "option"])
def test_words_that_are_not_known(tmp_path: Path, name: str, value: str, message: str, by: str) -> None:
    write(tmp_path, {**WRITTEN, name: value} if by == "file" else WRITTEN)
    assert complaint(tmp_path, {**NOTHING, name: value} if by == "option" else NOTHING) == message


KNOWN = "data, loss, reduction, model, activation, split, weights, ignore, weight_decay, max_samples"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**WRITTEN, "losss": "mse"}, f": unknown key 'losss'; it may hold {KNOWN}"),
        ({**WRITTEN, "loss": 3}, ": loss is 3; it must be a string"),
        ({**WRITTEN, "reduction": None}, ": reduction is None; it must be a string"),
        ([WRITTEN], f" holds a list; it must be an object with {KNOWN}"),
        ("{", " cannot be read as JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("", " cannot be read as JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_files_that_do_not_do(tmp_path: Path, content: Any, message: str) -> None:
    file = write(tmp_path, content)
    assert complaint(tmp_path, NOTHING) == f"{file}{message}"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "problem.json").write_bytes(b'{"loss": "\xff"}')
    message = complaint(tmp_path, NOTHING)
    assert message.startswith(
        f"{tmp_path / 'problem.json'} cannot be read as JSON: 'utf-8' codec can't decode byte 0xff"
    )
