"""What makes a loss no function of the parameters alone: found before any product is taken."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scalecurv.errors import Misuse

_BATCHED = (nn.modules.batchnorm._BatchNorm,)


def check_model(model: nn.Module) -> None:
    """Raise Misuse for what cannot be differentiated as it is, is random, or depends on the rest of its batch."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise Misuse(
            "the model is TorchScript, or has such a part, and is not differentiated twice; give what it was made of"
        )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise Misuse(f"parameter {name!r} has no shape yet (a lazy module); call the model once on some x first")
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
    """Whether a module in train mode draws: dropout, or a module that does its own (attention, recurrent nets)."""
    if isinstance(module, nn.RReLU):
        return module.lower < module.upper
    rate = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0.0)
    return isinstance(rate, float | int) and rate > 0


_EVAL = "call model.eval() before handing the model over"


def check_finite(tensors: dict[str, Tensor], start: int = 0) -> None:
    """Raise Misuse naming the first tensor that holds NaN or infinity, and where: a sample of x or y, else an index.

    x and y begin with the sample `start`.
    """
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor)
        if not bool(finite.all()):
            bad = int((~finite).sum())
            place = f", the first {_place(name, finite, start)}"
            where = "" if bad == tensor.numel() else place  # everywhere is no place
            raise Misuse(f"{name} holds {bad} non-finite value(s) of {tensor.numel()}{where}; remove them first")


def check_buffers(buffers: dict[str, Tensor]) -> None:
    """Raise Misuse for NaN in a buffer; infinity may be a mask, and what it does to the loss is seen there."""
    for name, buffer in buffers.items():
        if buffer.is_meta:
            raise Misuse(f"buffer {name!r} is on the meta device and has no values; make it on the CPU, or save it too")
        if buffer.is_floating_point() and bool(buffer.isnan().any()):
            raise Misuse(f"buffer {name!r} holds {int(buffer.isnan().sum())} NaN(s) of {buffer.numel()}; remove them")


def _place(name: str, finite: Tensor, start: int) -> str:
    index = tuple((~finite).nonzero()[0].tolist())
    return f"in sample {start + index[0]}" if name in ("x", "y") else f"at index {index}"
