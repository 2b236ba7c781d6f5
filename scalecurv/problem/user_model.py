"""The user's own model: its errors as one line that quotes them and says where they rose, and its arguments."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from scalecurv.errors import CheckpointError, Misuse, first_line, is_memory
from scalecurv.samples.nested import Inputs, Nested

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
    # of the class without `self`: a forward on the instance alone is bound to none
    own = "forward" in vars(model)
    listed = inspect.signature(model.forward if own else type(model).forward).parameters
    parameters = dict(list(listed.items())[0 if own else 1 :])
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
