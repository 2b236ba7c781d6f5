"""problem.json, in which a training script writes down the problem, so that users need not repeat it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.architecture import infer_layers
from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import ACTIVATIONS
from scalecurv.checkpoints.names import ignored
from scalecurv.display import kind_of
from scalecurv.errors import CheckpointError, MissingOptions, Misuse
from scalecurv.problem.losses import LOSSES, check_loss_name
from scalecurv.user_code import names_code

FILE_NAME = "problem.json"
REDUCTIONS = ("mean", "sum")
KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(
        ("data", "loss", "reduction", "model", "activation", "split", "weights", "ignore"), (str, "a string")
    ),
    "weight_decay": (int | float, "a number"),
    "max_samples": (int, "a whole number"),
}


@dataclass(frozen=True)
class ProblemSpec:
    """The definition of the loss at every checkpoint: data, loss, reduction, weight decay, model and activation.

    `data` is the absolute path of a file or directory, or user code pkg.mod:factory; its `split`, and at most
    `max_samples`, are used. `loss` and `model` may be user code too. `reduction` is None where the loss decides: its
    own, else "mean". `weights` is the key of the mapping of a file that holds the tensors, None where there is one;
    tensors in whose names the pattern `ignore` is found are left out.
    """

    data: Path | str
    loss: str
    reduction: str | None = None
    model: str = "mlp"
    activation: str | None = None
    weight_decay: float = 0.0
    split: str | None = None
    max_samples: int | None = None
    weights: str | None = None
    ignore: str | None = None


# for each option that has no default: what to give, and a value that would do
WANTED = {
    "data": ("--data FILE (arrays x and y)", "data.npz"),
    "loss": (f"--loss {'|'.join(LOSSES)}", "cross_entropy"),
    "activation": (f"--activation relu (or {', '.join(list(ACTIVATIONS)[1:])})", "relu"),
    "model": ("--model pkg.mod:factory (a function that returns the torch Module)", "pkg.mod:factory"),
}


def read_spec(folder: Path, given: Mapping[str, Any], checkpoints: Sequence[Path] = ()) -> ProblemSpec:
    """Return the problem by the given options (None means not given), completed by `folder`/problem.json.

    Paths in the file are relative to `folder`. User code that the file names is accepted only where the same option is
    given too. Raises MissingOptions with all options that nothing gives, and Misuse for one that is wrong. Where none
    of `checkpoints`, some that the problem describes, is an MLP, a model is missing and no activation.
    """
    file = folder / FILE_NAME
    written = _read(file) if file.is_file() else {}
    for name in ("model", "loss", "data"):
        if names_code(asked := str(written.get(name, ""))) and given.get(name) is None:
            raise Misuse(f"{file} asks to run {asked}, which comes with the files; give --{name} {asked} to allow it")
    if "data" in written and not names_code(written["data"]):
        written["data"] = folder / written["data"]
    merged = {**written, **{name: value for name, value in given.items() if value is not None}}
    if merged.get("ignore") is not None:
        ignored(merged["ignore"])  # before checkpoints are read with it
    _check_complete(merged, file, checkpoints)
    data = merged["data"]
    spec = ProblemSpec(**{**merged, "data": data if names_code(str(data)) else Path(data).resolve()})
    if not names_code(spec.loss):
        check_loss_name(spec.loss)
    if spec.reduction is not None:
        _check("reduction", spec.reduction, REDUCTIONS)
    _check_numbers(spec)
    if spec.model != "mlp":
        if given.get("activation") is not None:
            raise Misuse(f"--activation says nothing of --model {spec.model}; leave it out")
        return replace(spec, activation=None)
    _check("activation", str(spec.activation), tuple(ACTIVATIONS))
    return spec


def _check_complete(merged: Mapping[str, Any], file: Path, checkpoints: Sequence[Path]) -> None:
    """Raise MissingOptions where options without a default are given neither by an option nor by `file`."""
    missing, other = [name for name in ("data", "loss") if name not in merged], None
    if "activation" not in merged and merged.get("model", "mlp") == "mlp":
        other = None if "model" in merged else _no_mlp(checkpoints, merged.get("weights"), merged.get("ignore"))
        missing.append("model" if other else "activation")
    if not missing:
        return
    examples = {name: WANTED[name][1] for name in missing}
    reason = f", and {other} is no plain MLP" if other else ""
    # a model is code, which a file alone may not choose
    written = {name: value for name, value in examples.items() if name != "model"}
    content = json.dumps(written)
    place = f"add {content[1:-1]} to {file}" if file.is_file() else f"write {content} into {file}"
    raise MissingOptions(
        f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} given neither by an option nor by {file}{reason}; "
        f"give {_listed([WANTED[name][0] for name in missing])}{f', or {place}' if written else ''}",
        examples,
    )


def _no_mlp(checkpoints: Sequence[Path], weights: str | None, ignore: str | None) -> Path | None:
    """Return one of the checkpoints where those that can be read are no MLPs, else None."""
    other = None
    for path in checkpoints:
        try:
            content = load(path, weights, ignore)
        except CheckpointError:
            continue
        try:
            infer_layers(content)
        except CheckpointError:
            other = path
        else:
            return None
    return other


def _listed(words: Sequence[str]) -> str:
    """Return the words as a sentence lists them: "a", "a and b", "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise Misuse(f"{file} holds {kind_of(content)}; it must be an object with {', '.join(KINDS)}")
    for name, value in content.items():
        if name not in KINDS:
            raise Misuse(f"{file}: unknown key {name!r}; it may hold {', '.join(KINDS)}")
        kinds, words = KINDS[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise Misuse(f"{file}: {name} is {value!r}; it must be {words}")
    return content


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Misuse(f"unknown {name} {value!r}; choose from {', '.join(choices)}")


def _check_numbers(spec: ProblemSpec) -> None:
    if not 0 <= spec.weight_decay < math.inf:
        raise Misuse(f"weight_decay is {spec.weight_decay}; it must be at least 0 and finite")
    if spec.max_samples is not None and spec.max_samples < 1:
        raise Misuse(f"max_samples is {spec.max_samples}; it must be at least 1")
