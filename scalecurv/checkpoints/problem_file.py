"""problem.json, in which a training script writes down the problem, so that users need not repeat it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.allowed import allowed_globals
from scalecurv.checkpoints.model import ACTIVATIONS
from scalecurv.errors import Misuse
from scalecurv.problem.losses import LOSSES
from scalecurv.user_code import names_code

FILE_NAME = "problem.json"
REDUCTIONS = ("mean", "sum")
# keys of the file; `allow` is not among them, because only the user may allow classes
KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("data", "loss", "reduction", "model", "activation", "split"), (str, "a string")),
    "weight_decay": (int | float, "a number"),
    "max_samples": (int, "a whole number"),
}


@dataclass(frozen=True)
class ProblemSpec:
    """The definition of the loss at every checkpoint: data, loss, reduction, weight decay, model and activation.

    `data` is the absolute path of a file or directory, or user code pkg.mod:factory; its `split`, and at most
    `max_samples`, are used. `loss` and `model` may be user code too. `allow` are the classes a checkpoint may hold.
    """

    data: Path | str
    loss: str
    reduction: str = "mean"
    model: str = "mlp"
    activation: str | None = None
    weight_decay: float = 0.0
    split: str | None = None
    max_samples: int | None = None
    allow: tuple[str, ...] = ()


def read_spec(folder: Path, given: Mapping[str, Any]) -> ProblemSpec:
    """Return the problem by the given options (None means not given), completed by `folder`/problem.json.

    Paths in the file are relative to `folder`. User code that the file names is accepted only where the same option is
    given too. Raises Misuse for an option that is missing or wrong.
    """
    file = folder / FILE_NAME
    written = _read(file) if file.is_file() else {}
    for name in ("model", "loss", "data"):
        if names_code(asked := str(written.get(name, ""))) and given.get(name) is None:
            raise Misuse(f"{file} asks to run {asked}, which comes with the files; give --{name} {asked} to allow it")
    if "data" in written and not names_code(written["data"]):
        written["data"] = folder / written["data"]
    merged = {**written, **{name: value for name, value in given.items() if value is not None}}
    for name, option in (("data", "--data FILE"), ("loss", f"--loss {'|'.join(LOSSES)}")):
        if name not in merged:
            raise Misuse(f"{name} is given neither by an option nor by {file}; give {option}")
    data = merged["data"]
    spec = ProblemSpec(**{**merged, "data": data if names_code(str(data)) else Path(data).resolve()})
    if not names_code(spec.loss):
        _check("loss", spec.loss, tuple(LOSSES))
    _check("reduction", spec.reduction, REDUCTIONS)
    _check_numbers(spec)
    allowed_globals(spec.allow)
    if spec.model != "mlp":
        if given.get("activation") is not None:
            raise Misuse(f"--activation says nothing of --model {spec.model}; leave it out")
        return replace(spec, activation=None)
    if spec.activation is not None:
        _check("activation", spec.activation, tuple(ACTIVATIONS))
    else:
        raise Misuse(
            f"activation is given neither by an option nor by {file}, and a state_dict does not hold it; "
            f"give --activation relu (or {', '.join(list(ACTIVATIONS)[1:])})"
        )
    return spec


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise Misuse(f"{file} holds a {type(content).__name__}; it must be an object with {', '.join(KINDS)}")
    for name, value in content.items():
        if name not in KINDS:
            raise Misuse(f"{file}: unknown key {name!r}; it may hold {', '.join(KINDS)}")
        kinds, words = KINDS[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise Misuse(f"{file}: {name} is {value!r}; it must be {words}")
    return content


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        hint = ", or pkg.mod:function" if name == "loss" else ""
        raise Misuse(f"unknown {name} {value!r}; choose from {', '.join(choices)}{hint}")


def _check_numbers(spec: ProblemSpec) -> None:
    if not 0 <= spec.weight_decay < math.inf:
        raise Misuse(f"weight_decay is {spec.weight_decay}; it must be at least 0 and finite")
    if spec.max_samples is not None and spec.max_samples < 1:
        raise Misuse(f"max_samples is {spec.max_samples}; it must be at least 1")
