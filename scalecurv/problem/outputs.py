"""The outputs among all that a model returns: their place, one row per sample, and the shape of a row."""

import ast
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scalecurv.display import kind_of
from scalecurv.errors import Misuse
from scalecurv.samples.nested import named_leaves


def places_of_rows(returned: Any, count: int) -> list[str]:
    """Return the places, in what a model returned for `count` samples, of tensors of floats with one row a sample.

    It is [""] where the model returned one tensor, whatever its shape. `.logits` comes first where it is there.

    Example:
        >>> places_of_rows({"loss": torch.tensor(0.5), "hidden": torch.zeros(2, 3), "logits": torch.zeros(2, 4)}, 2)
        ['.logits', "['hidden']"]
    """
    if isinstance(returned, Tensor):
        return [""]
    held = vars(returned) if dataclasses.is_dataclass(returned) and not isinstance(returned, Mapping) else returned
    dotted = held is not returned
    named = [(f".{name[2:-2]}" if dotted else name, leaf) for name, leaf in named_leaves(held) if name]
    places = [name for name, leaf in named if _is_rows(leaf, count)]
    if not _is_rows(part_of(returned, ".logits", None), count):
        return places
    return [".logits", *(name for name in places if name not in (".logits", "['logits']"))]


def main_output(returned: Any, places: list[str]) -> str:
    """Return the first place of outputs; raise Misuse where a model returns none that has one row a sample."""
    if places:
        return places[0]
    raise Misuse(
        f"the model returns {kind_of(returned)} without a tensor of floats that has one row a sample; wrap it "
        f"so that it returns one tensor of floats, (N, D)"
    )


def _is_rows(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 0 and len(value) == count


def part_of(returned: Any, place: str, *default: Any) -> Any:
    """Return what stands at a place that `main_output` returned; raise Misuse where it is gone, without a `default`."""
    found = returned
    for dot, name, key in re.findall(r"(\.)(\w+)|\[([^\]]*)\]", place):
        try:
            key = key and ast.literal_eval(key)
            found = (found[name] if isinstance(found, Mapping) else getattr(found, name)) if dot else found[key]
        except (LookupError, AttributeError, TypeError) as error:
            if default:
                return default[0]
            raise Misuse(
                f"the model returns its outputs as {place} for some samples and not for others; make it return the "
                f"same for all"
            ) from error
    return found


def rows_of(outputs: object, count: int) -> Tensor:
    """Return the outputs of a model for `count` samples as one dense tensor (B, D); raise Misuse for other outputs."""
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        kind = f"a tensor of {outputs.dtype}" if isinstance(outputs, Tensor) else kind_of(outputs)
        raise Misuse(f"the model returns {kind}; wrap it so that it returns one tensor of floats, (N, D)")
    f = outputs if outputs.layout == torch.strided else outputs.to_dense()
    if count == 1 or f.ndim == 0:  # all entries are that sample's: a model may squeeze the axis of rows away
        return f.reshape(1, -1)
    return f[:, None] if f.ndim == 1 else f.flatten(1)


def shape_of_row(outputs: Tensor, count: int) -> tuple[int, ...]:
    """Return the shape of one sample's outputs, () where a model squeezes the only one away; raise as `rows_of`."""
    rows_of(outputs, count)
    squeezed = outputs.ndim == 0 or (count == 1 and len(outputs) != 1)
    return tuple(outputs.shape) if squeezed else tuple(outputs.shape[1:])
