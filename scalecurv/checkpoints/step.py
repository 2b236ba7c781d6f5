"""The step and epoch of a checkpoint, from its content, else from its name."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

STEP_KEYS = ("global_step", "step", "iter_num", "iteration", "num_updates")
EPOCH_KEYS = ("epoch",)
_NUMBER = r"[-_=]?(\d+)([km]?)(?![a-z\d]|\.\d)"
# words that mean steps come before words that may mean a batch size or only a file
_STEPS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:step|steps|iter|iters|iteration|iterations|update|updates|(?<![a-z])(?:ba|it|its|upd)){_NUMBER}",
        r"(?<![a-z\d])t=(\d+)([km]?)(?![a-z\d]|\.\d)",  # t5 is a model
        r"(?<![a-z\d.])(\d+)([km]?)[-_]?(?:steps|iters|iterations|updates)(?![a-z\d])",  # as RL libraries name files
        rf"(?:batch|checkpoint|ckpt|chkpt){_NUMBER}",
    )
)
_EPOCH = re.compile(r"(?:epoch|(?<![a-z])ep)[-_=]?(\d+(?:\.\d+)?)", re.IGNORECASE)
_EPOCH_AND_STEP = re.compile(
    r"(?:checkpoint|ckpt)[-_](\d+)[-_](\d+)$"  # as fairseq names files
    r"|(?<![a-z\d.])e[-_=]?(\d+)[-_]?s[-_=]?(\d+)(?![a-z\d]|\.\d)",  # e3_s100
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"(?:^|[-_=]|(?<![a-z])(?:model|net|weights|params|theta|snapshot|snap|save))(\d+)$", re.IGNORECASE
)
# words before a last number that is not a step: model-v1, seed_0, model-00001-of-00002
_NO_TIME = re.compile(
    r"(?<![a-z])(?:v|version|seed|s|rank|fsdp|fold|run|trial|exp|of|width|depth|layers?|dim|lr|wd|bs|gpu|part|shard)[-_=]?$",
    re.IGNORECASE,
)
# the name of a folder that is a step or epoch only, as checkpoint-500
_TIME_FOLDER = re.compile(
    r"(?:global_?)?(?:step|iter|iteration|it|update|checkpoint|ckpt|chkpt|epoch|ep|ba)[-_=]?\d+[km]?", re.IGNORECASE
)
SUFFIX = {"": 1, "k": 1_000, "m": 1_000_000}
LIMIT = 2**63  # integers of the store are smaller


def step_and_epoch(content: Mapping[str, Any], stem: str, folder: str = "") -> tuple[int | None, float | None]:
    """Return (step, epoch), each from the content, else from `stem`, the name without suffix, else None.

    Where these give neither step nor epoch, both come from `folder`, the name of the directory, if that is a step or
    epoch only, as checkpoint-500.
    """
    step, epoch = _first_number(content, STEP_KEYS), _first_number(content, EPOCH_KEYS)
    named_step, named_epoch = _from_name(stem)
    if (step, epoch, named_step, named_epoch) == (None,) * 4 and _TIME_FOLDER.fullmatch(folder):
        named_step, named_epoch = _from_name(folder)
    step, epoch = named_step if step is None else step, named_epoch if epoch is None else epoch
    return (None if step is None else int(step)), epoch


def run_of(path: Path) -> str:
    """Return the directory of the training run: the file's own, or the one above if that is only a step or epoch."""
    return str(path.parent.parent if _TIME_FOLDER.fullmatch(path.parent.name) else path.parent)


def _from_name(stem: str) -> tuple[int | None, float | None]:
    if match := _EPOCH_AND_STEP.search(stem):
        epoch_text, step_text = (text for text in match.groups() if text is not None)
        return _storable(int(step_text)), float(epoch_text)
    step = next((int(m[1]) * SUFFIX[m[2].lower()] for words in _STEPS if (m := words.search(stem))), None)
    epoch = float(match[1]) if (match := _EPOCH.search(stem)) else None
    if step is None and epoch is None:
        match = _TRAILING.search(stem)
        step = int(match[1]) if match and not _NO_TIME.search(stem[: match.start(1)]) else None
    return _storable(step), epoch


def _storable(step: int | None) -> int | None:
    return None if step is None or step >= LIMIT else step


def _first_number(content: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        value = content.get(key)
        if isinstance(value, Tensor) and value.numel() == 1 and not value.is_meta:
            value = value.item()
        if isinstance(value, str):  # safetensors metadata holds strings only
            try:
                value = int(value) if value.isdecimal() else float(value)
            except ValueError:
                continue
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LIMIT:  # False for NaN
            return value
    return None


_ALIAS = "(last|latest|newest|best|final|current)"
_ALIAS_WORDS = re.compile(rf"(?<![a-z]){_ALIAS}(?![a-z])", re.IGNORECASE)
_ALIAS_FOLDER = re.compile(rf"((checkpoint|ckpt|model)[-_])?{_ALIAS}", re.IGNORECASE)


def is_alias(path: Path) -> bool:
    """Return True where the name of a file or of its folder is an alias (last, best), not a step or epoch."""
    return _ALIAS_WORDS.search(path.stem) is not None or _ALIAS_FOLDER.fullmatch(path.parent.name) is not None
