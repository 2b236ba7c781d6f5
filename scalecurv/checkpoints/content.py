"""What readers of files agree on: weights by the names in the file, and what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from scalecurv.errors import CheckpointError

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "weights", "params")
OUTER = ("state", "app")  # in which trainers, and the recipes of distributed checkpoints, keep it beside the optimizer


T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """`weights` as the file names them, `facts` such as its step; `ordered` if they stand as the model listed them."""

    weights: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    ordered: bool


def weights_of(path: Path, content: Mapping[Any, Any], leaf: type[T]) -> dict[str, T]:
    """The tensors of a state_dict, or of the one that a training loop wrapped with its counters.

    A tensor is whatever is a `leaf`. Raises CheckpointError where there are none.
    """
    outer = [content[k] for k in OUTER if isinstance(content.get(k), Mapping)]
    wrapped = (held[k] for held in (content, *outer) for k in WRAPPERS if isinstance(held.get(k), Mapping))
    inside = next((w for w in wrapped if any(isinstance(value, leaf) for value in w.values())), content)
    tensors = {str(name): value for name, value in inside.items() if isinstance(value, leaf)}
    if not tensors:
        held = ", ".join(str(k) for k in list(content)[:6])
        raise CheckpointError(f"{path} holds no tensors (its keys: {held}); save model.state_dict()")
    return tensors


def line_of(error: BaseException) -> str:
    """The first line of what a library says, with the kind of the error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
