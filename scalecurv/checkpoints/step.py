"""When in training a checkpoint was taken: from what the file says, then from its name."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

STEP_KEYS = ("global_step", "step", "iter_num", "iteration", "num_updates")
EPOCH_KEYS = ("epoch",)
_STEP = re.compile(r"(?:step|steps|iter|iteration|ba|batch|checkpoint|ckpt)[-_=]?(\d+)([kKmM]?)(?![a-zA-Z\d])")
_EPOCH = re.compile(r"(?:epoch|ep)[-_=]?(\d+)")
_TRAILING = re.compile(r"(\d+)$")
_SUFFIX = {"": 1, "k": 1_000, "m": 1_000_000}


def step_and_epoch(content: Mapping[str, Any], stem: str) -> tuple[int | None, float | None]:
    """(step, epoch), each None where neither the content nor the name (without suffix) tells."""
    step, epoch = _first_number(content, STEP_KEYS), _first_number(content, EPOCH_KEYS)
    if step is None and (match := _STEP.search(stem)):
        step = int(match[1]) * _SUFFIX[match[2].lower()]
    if epoch is None and (match := _EPOCH.search(stem)):
        epoch = float(match[1])
    if step is None and epoch is None and (match := _TRAILING.search(stem)):
        step = int(match[1])
    return (None if step is None else int(step)), epoch


def _first_number(content: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        value = content.get(key)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, str) and value.isdigit():  # safetensors metadata holds strings alone
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None
