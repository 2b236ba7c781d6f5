"""What the user's own model or loss raises, as one line that quotes it and says where it came from."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from scalecurv.errors import CheckpointError, ClusterError, Misuse

LONGEST = 240  # characters of somebody else's line


@contextmanager
def quoted(model: nn.Module, asked: str) -> Iterator[None]:
    """Turn whatever the model raises within into a CheckpointError; `asked` says what it was asked for.

    Lines of our own and memory that runs out pass unchanged: the latter says nothing of the model.
    """
    try:
        yield
    except (Misuse, CheckpointError, ClusterError, FloatingPointError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # the user's own code: whatever it raises, its line is what helps
        if "can't allocate memory" in str(error):  # how torch's CPU allocator says it
            raise
        where = innermost_module(model, error)
        raise CheckpointError(f"{asked}: {where} raised {type(error).__name__}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line that says something, cut to a length that can be read."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def innermost_module(model: nn.Module, error: BaseException) -> str:
    """The module in whose own code the error rose last, by name and type; "torch" where it rose in none."""
    names = {id(module): name for name, module in model.named_modules()}
    found, trace = "torch, in a pass through the model,", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in names:
            name = names[id(module)]
            found = f"module {name!r} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
        trace = trace.tb_next
    return found
