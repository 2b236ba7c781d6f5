"""problem.json: what the training script already knows, so that nobody has to say it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalecurv.checkpoints.model import ACTIVATIONS
from scalecurv.curvature.losses import LOSSES
from scalecurv.errors import Misuse

FILE_NAME = "problem.json"
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class ProblemSpec:
    """What defines the loss at every checkpoint: data file, loss, reduction, model and activation."""

    data: Path
    loss: str
    reduction: str = "mean"
    model: str = "mlp"
    activation: str | None = None


def read_spec(folder: Path, said: Mapping[str, Any]) -> ProblemSpec:
    """What was said on the command line (None means not said), completed by `folder`/problem.json.

    Paths in the file are relative to it. Raises Misuse for what is said nowhere, or wrongly.
    """
    file = folder / FILE_NAME
    written = _read(file) if file.is_file() else {}
    if "data" in written:
        written["data"] = folder / written["data"]
    if (asked := written.get("model", "mlp")) != "mlp" and said.get("model") is None:
        raise Misuse(f"{file} asks to run {asked}, which comes with the files; give --model {asked} to allow it")
    merged = {**written, **{name: value for name, value in said.items() if value is not None}}
    for name, option in (("data", "--data FILE"), ("loss", f"--loss {'|'.join(LOSSES)}")):
        if name not in merged:
            raise Misuse(f"{name} is said neither by an option nor by {file}; give {option}")
    spec = ProblemSpec(**{**merged, "data": Path(merged["data"]).resolve()})
    _check("loss", spec.loss, tuple(LOSSES))
    _check("reduction", spec.reduction, REDUCTIONS)
    if spec.model != "mlp":
        if said.get("activation") is not None:
            raise Misuse(f"--activation says nothing of --model {spec.model}; leave it out")
        return replace(spec, activation=None)
    if spec.activation is not None:
        _check("activation", spec.activation, tuple(ACTIVATIONS))
    else:
        raise Misuse(
            f"activation is said neither by an option nor by {file}, and a state_dict does not hold it; "
            f"give --activation relu (or {', '.join(list(ACTIVATIONS)[1:])})"
        )
    return spec


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Misuse(f"{file} cannot be read as JSON: {error}") from error
    known = ProblemSpec.__dataclass_fields__
    if not isinstance(content, dict):
        raise Misuse(f"{file} holds a {type(content).__name__}; it must be an object with {', '.join(known)}")
    for name, value in content.items():
        if name not in known:
            raise Misuse(f"{file}: unknown key {name!r}; it may hold {', '.join(known)}")
        if not isinstance(value, str):
            raise Misuse(f"{file}: {name} is {value!r}; it must be a string")
    return content


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Misuse(f"unknown {name} {value!r}; choose from {', '.join(choices)}")
