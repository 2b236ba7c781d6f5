"""The user's own model: its errors as one line that quotes them and says where they rose, its outputs as rows."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scalecurv.errors import CheckpointError, Misuse, first_line, is_memory
from scalecurv.samples.nested import Inputs, Nested, named_leaves

HINT = "; some products are taken in float64: make constants like x, by x.new_zeros(...) or .to(x.dtype)"


@contextmanager
def quoted(model: nn.Module, what: str) -> Iterator[None]:
    """Turn whatever the model raises within into a CheckpointError; `what` names what was to be computed.

    Errors of this library pass unchanged, and so does memory that runs out: that is no fault of the model.
    """
    try:
        yield
    except (Misuse, CheckpointError, KeyboardInterrupt, torch.OutOfMemoryError):
        raise
    except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
        if is_memory(error):
            raise
        line = first_line(error)
        hint = HINT if "dtype" in line or "scalar type" in line else ""
        where = innermost_module(model, error)
        raise CheckpointError(f"{what}: {where} raised {type(error).__name__}: {line}{hint}") from error


def innermost_module(model: nn.Module, error: BaseException) -> str:
    """Return the name and type of the module in whose own code the error rose last, or words for torch itself."""
    found, trace = "torch, in a pass through the model,", error.__traceback__
    try:
        names = {id(module): name for name, module in nn.Module.named_modules(model)}
    except Exception:  # a model that is no module inside
        return found
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in names:
            name = names[id(module)]
            found = f"module {name!r} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
        trace = trace.tb_next
    return found


def arguments(model: nn.Module, x: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the named arguments that hand x to the model's forward.

    One array is the first argument. A tuple or list of parts is taken in order, and a dict by name; a forward that has
    no place for them, as it takes one argument, is handed the container itself. Raises Misuse where a dict has some
    names that forward takes and some that it does not.
    """
    if not isinstance(x, Nested):
        return (x,), {}
    kinds, parts = inspect.Parameter, x.tree
    parameters = inspect.signature(type(model).forward).parameters
    if "forward" in vars(model):
        parameters = inspect.signature(model.forward).parameters
    else:
        parameters = {name: p for i, (name, p) in enumerate(parameters.items()) if i}
    if isinstance(parts, Mapping):
        named = (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
        taken = {name for name, p in parameters.items() if p.kind in named}
        if any(p.kind is kinds.VAR_KEYWORD for p in parameters.values()):
            return (), dict(parts)
        if unknown := [str(name) for name in parts if name not in taken]:
            if len(unknown) == len(parts):
                return (parts,), {}
            raise Misuse(
                f"x has the parts {', '.join(map(str, parts))}, and forward takes no {', '.join(unknown)}; it takes "
                f"{', '.join(sorted(taken))}: leave the others out"
            )
        return (), dict(parts)
    places = [p for p in parameters.values() if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    if len(places) >= len(parts) or any(p.kind is kinds.VAR_POSITIONAL for p in parameters.values()):
        return tuple(parts), {}
    return (parts,), {}


def main_output(returned: Any, count: int) -> str:
    """Return the place of the outputs in what a model returned for `count` samples, "" where it is one tensor.

    It is `.logits` where there is one, else the first tensor of floats with one row a sample. Raises Misuse where
    there is none.
    """
    if isinstance(returned, Tensor):
        return ""
    if _is_rows(part_of(returned, ".logits", None), None):
        return ".logits"
    held = vars(returned) if dataclasses.is_dataclass(returned) and not isinstance(returned, Mapping) else returned
    dotted = held is not returned
    for name, leaf in named_leaves(held):
        if name and _is_rows(leaf, count):
            return f".{name[2:-2]}" if dotted else name
    raise Misuse(
        f"the model returns a {type(returned).__name__} without a tensor of floats that has one row a sample; wrap it "
        f"so that it returns one tensor of floats, (N, D)"
    )


def _is_rows(value: Any, count: int | None) -> bool:
    """Return True for a tensor of floats with `count` rows; with any number of rows where `count` is None."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim == 0:
        return False
    return count is None or count == 1 or len(value) == count


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
        kind = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise Misuse(f"the model returns a {kind}; wrap it so that it returns one tensor of floats, (N, D)")
    f = outputs if outputs.layout == torch.strided else outputs.to_dense()
    if count == 1 or f.ndim == 0:  # all entries are that sample's: a model may squeeze the axis of rows away
        return f.reshape(1, -1)
    return f[:, None] if f.ndim == 1 else f.flatten(1)


def shape_of_row(outputs: Tensor, count: int) -> tuple[int, ...]:
    """Return the shape of one sample's outputs, () where a model squeezes the only one away; raise as `rows_of`."""
    rows_of(outputs, count)
    squeezed = outputs.ndim == 0 or len(outputs) != count
    return tuple(outputs.shape) if squeezed else tuple(outputs.shape[1:])
