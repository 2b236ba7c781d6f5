"""Checks of a model, its tensors and the options of a problem, made before any product is taken."""

import math
import re
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scalecurv.errors import Misuse, first_line
from scalecurv.machine import SHARE, default_memory
from scalecurv.samples.nested import Nested, named_leaves

_BATCHED = (nn.modules.batchnorm._BatchNorm,)


def check_options(
    reduction: str, batch_size: int | None, weight_decay: float, memory: int | None, dtype: torch.dtype | None
) -> None:
    """Raise Misuse where an option of a problem has a value that it does not take."""
    for name, value in (("batch_size", batch_size), ("weight_decay", weight_decay), ("memory", memory)):
        check_number(name, value)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise Misuse(f"dtype is {dtype!r}; give torch.float64 or torch.float32, or leave it out")
    if reduction not in ("mean", "sum"):
        raise Misuse(f"unknown reduction {reduction!r}; choose mean or sum")
    if batch_size is not None and batch_size < 1:
        raise Misuse(f"batch_size={batch_size}: give at least one sample a batch")
    if not 0 <= weight_decay < math.inf:
        raise Misuse(f"weight_decay is {weight_decay}; it must be at least 0 and finite")


def check_number(name: str, value: Any) -> None:
    """Raise Misuse where the option `name` is given and is no number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
        unit = "a number of bytes, such as 2_000_000_000" if name == "memory" else "a number"
        raise Misuse(f"{name} is {value!r}, of type {type(value).__name__}; give {unit}")


def located(given: torch.device | str) -> torch.device:
    """Return the device; raise Misuse where torch does not know it, or does not have it here."""
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError) as error:
        raise Misuse(f"device {given!r} is none that torch knows; give 'cpu' or 'cuda', or leave it out") from error
    try:
        torch.empty(0, device=device)
    except AssertionError as error:  # a build without this kind of device
        raise Misuse(f"device {given!r} is not here ({first_line(error)}); give 'cpu', or leave it out") from error
    return device


def products_dtype(own: torch.dtype) -> torch.dtype:
    """Return the dtype of products for parameters of this dtype: their own, float32 for all that is narrower."""
    return own if own == torch.float64 else torch.float32


def check_trainable(num_params: int) -> None:
    """Raise Misuse where there is no parameter to differentiate by."""
    if num_params == 0:
        raise Misuse("the model has no trainable parameter; set requires_grad on those to differentiate by")


def check_model(model: nn.Module) -> None:
    """Raise Misuse for a model that cannot be differentiated twice, is random, or mixes the samples of a batch."""
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise Misuse(f"model is {kind}; give a torch.nn.Module with the weights loaded: Problem(model, (x, y))")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise Misuse(f"the model is a {type(model).__name__}, which copies one to several devices; give model.module")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise Misuse(
            "the model is TorchScript, or has such a part, and is not differentiated twice; give what it was made of"
        )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise Misuse(f"parameter {name!r} has no shape yet (a lazy module); call the model once on some x first")
        if parameter.is_meta:
            raise Misuse(f"parameter {name!r} is on the device meta, without numbers; load the weights first")
        if parameter.is_complex():
            raise Misuse(f"parameter {name!r} is complex; hold its real and imaginary parts as two real parameters")
    for name, module in model.named_modules():
        if isinstance(module, _BATCHED) and module.running_mean is None:
            raise Misuse(
                f"module {name!r} ({type(module).__name__}) keeps no running statistics, so the loss depends on how "
                f"the data is batched; train it with track_running_stats=True"
            )
        if not module.training:
            continue
        if _random(module):
            raise Misuse(f"module {name!r} ({type(module).__name__}) is in train mode, so the loss is random; {_EVAL}")
        if isinstance(module, _BATCHED):
            raise Misuse(
                f"module {name!r} ({type(module).__name__}) is in train mode, so the loss depends on how the data "
                f"is batched; {_EVAL}"
            )


def _random(module: nn.Module) -> bool:
    """Return True where a module in train mode draws: dropout, or a module with dropout inside (attention, LSTM)."""
    if isinstance(module, nn.RReLU):
        return module.lower < module.upper
    rate = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0.0)
    return isinstance(rate, float | int) and rate > 0


_EVAL = "call model.eval() before handing the model over"


def check_finite(tensors: dict[str, Tensor], start: int = 0) -> None:
    """Raise Misuse that names the first tensor with NaN or infinity and the place: a sample of x or y, else an index.

    `start` is the number of the first sample in x and y.
    """
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor)
        if not bool(finite.all()):
            bad = int((~finite).sum())
            place = f", the first {_place(name, finite, start)}"
            where = "" if bad == tensor.numel() else place  # no first place where all are bad
            raise Misuse(f"{name} holds {bad} non-finite value(s) of {tensor.numel()}{where}; remove them first")


def check_buffers(buffers: dict[str, Tensor]) -> None:
    """Raise Misuse for NaN in a buffer; infinity passes, as it may be a mask: the loss shows whether it harms."""
    for name, buffer in buffers.items():
        if buffer.is_meta:
            raise Misuse(f"buffer {name!r} is on the meta device and has no values; make it on the CPU, or save it too")
        if buffer.is_floating_point() and bool(buffer.isnan().any()):
            raise Misuse(f"buffer {name!r} holds {int(buffer.isnan().sum())} NaN(s) of {buffer.numel()}; remove them")


def _place(name: str, finite: Tensor, start: int) -> str:
    index = tuple((~finite).nonzero()[0].tolist())
    return f"in sample {start + index[0]}" if re.match(r"[xy]($|\[)", name) else f"at index {index}"


def check_parts(name: str, parts: Nested, start: int) -> None:
    """Raise Misuse for NaN in inputs or targets of several parts; infinity passes, as a part may be a mask."""
    for place, leaf in named_leaves(parts.tree):
        check_finite({f"{name}{place}": leaf.nan_to_num(nan=torch.nan, posinf=0.0, neginf=0.0)}, start)


def memory_on(device: torch.device) -> int:
    """Return the bytes that temporaries take on a device where nobody says how many: a quarter of the machine's.

    On a GPU it is a quarter of the GPU's memory where that is less.
    """
    own = torch.cuda.get_device_properties(device).total_memory // SHARE if device.type == "cuda" else math.inf
    return int(min(default_memory(), own))
