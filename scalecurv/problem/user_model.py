"""The user's own model: its errors as one line that quotes them and says where they rose, its outputs as rows."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scalecurv.errors import CheckpointError, Misuse, first_line, is_memory

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


def rows_of(outputs: object, count: int) -> Tensor:
    """Return the outputs of a model for `count` samples as one dense tensor (B, D); raise Misuse for other outputs."""
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        kind = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise Misuse(f"the model returns a {kind}; wrap it so that it returns one tensor of floats, (N, D)")
    f = outputs if outputs.layout == torch.strided else outputs.to_dense()
    if count == 1 or f.ndim == 0:  # all entries are that sample's: a model may squeeze the axis of rows away
        return f.reshape(1, -1)
    return f[:, None] if f.ndim == 1 else f.flatten(1)
