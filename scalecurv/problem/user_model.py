"""What the user's own model or loss raises, as one line that quotes it and says where it came from."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from scalecurv.errors import CheckpointError, Misuse, first_line, is_memory

HINT = "; some products are taken in float64: make constants like x, by x.new_zeros(...) or .to(x.dtype)"


@contextmanager
def quoted(model: nn.Module, asked: str) -> Iterator[None]:
    """Turn whatever the model raises within into a CheckpointError; `asked` says what it was asked for.

    Lines of our own and memory that runs out pass unchanged: the latter says nothing of the model.
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
        raise CheckpointError(f"{asked}: {where} raised {type(error).__name__}: {line}{hint}") from error


def innermost_module(model: nn.Module, error: BaseException) -> str:
    """The module in whose own code the error rose last, by name and type; "torch" where it rose in none."""
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
