"""The network inside whatever a training holds, and a copy of it that can be measured without touching it."""

import copy
import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scalecurv.checkpoints.names import INFIXES, canonical_names
from scalecurv.display import kind_of, listing
from scalecurv.errors import CheckpointError, Misuse, is_memory, kind_and_line

logger = logging.getLogger(__name__)

_CALLED = ("_forward_hooks", "_forward_pre_hooks")  # hooks that a forward calls
_GRADIENT = ("_backward_hooks", "_backward_pre_hooks")  # hooks of the gradients of a training
_PARTS = "torch.nn.utils"  # weight norm, spectral norm and pruning compute the weights in hooks


def unwrapped_model(model: Any) -> nn.Module:
    """Return the network without what torch.compile, DataParallel and DistributedDataParallel put around it.

    Raises Misuse for what is no module, and for parameters that are spread over processes (FSDP, DeepSpeed ZeRO 3).

    Example:
        >>> net = nn.Linear(2, 1)
        >>> unwrapped_model(nn.DataParallel(net)) is net
        True
    """
    while isinstance(model, nn.Module):
        refuse_spread(model)
        name = next((name for name in INFIXES if _wraps(model, name)), None)
        if name is None:
            return model
        model = getattr(model, name)
    raise Misuse(f"model is {kind_of(model)}; give the torch.nn.Module that is trained: monitor(model, step)")


def _wraps(model: nn.Module, name: str) -> bool:
    """Return True where `name` is the only child of the model, and the model adds no parameter of its own."""
    return list(model._modules) == [name] and not model._parameters and _is_wrapper(model)


def _is_wrapper(model: nn.Module) -> bool:
    home = type(model).__module__.partition(".")[0]
    return home in ("torch", "deepspeed", "accelerate", "lightning", "pytorch_lightning", "lightning_fabric")


def refuse_spread(model: nn.Module) -> None:
    """Raise Misuse where no process has all parameters of the model."""
    tensor = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ())
    for module in model.modules():
        if any("FSDP" in kind.__name__ or "FullySharded" in kind.__name__ for kind in type(module).__mro__):
            raise Misuse(
                f"the model is sharded by {type(module).__name__}, so that no process has all weights; save full "
                f"checkpoints and run `scalecurv analyze` on them"
            )
    if any(hasattr(p, "ds_id") or isinstance(p, tensor) for p in model.parameters()):
        raise Misuse(
            "the model's parameters are spread over processes (DeepSpeed ZeRO 3, or DTensor), so that none has all "
            "weights; save full checkpoints and run `scalecurv analyze` on them"
        )


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the model's state by their canonical names, as copies on the CPU."""
    state = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    names = canonical_names(state, "the model")
    return {names[name]: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def copied(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """Return a copy of the model in eval mode, and the names of modules whose hooks it leaves out.

    Parameters share the numbers of the model's, so that they take no memory, and have no gradients; all else is copied.
    Hooks are kept where they are methods of the model itself, or compute weights for torch. Raises CheckpointError
    where the model holds what cannot be copied.
    """
    try:
        twin: nn.Module = copy.deepcopy(model, _kept(model))
    except Exception as error:  # the user's own objects: whatever they raise when they are copied
        if is_memory(error):
            raise
        raise CheckpointError(
            f"the {type(model).__name__} cannot be copied ({kind_and_line(error)}); give the monitor "
            f"model='pkg.mod:factory', which builds another one for the weights"
        ) from error
    own = list(twin.modules())
    left_out = [name or type(model).__name__ for name, module in twin.named_modules() if _drop_hooks(module, own)]
    for module in own:
        if "_original_forward" in vars(module):  # accelerate computes `forward` under autocast
            vars(module).pop("forward", None)
    return twin.eval(), left_out


def say_left_out(names: list[str]) -> None:
    """Log that hooks are not called in measurements."""
    logger.warning(
        "forward hooks at %s are not called when curvature is measured; those that are methods of the model are",
        listing(names),
    )


def _kept(model: nn.Module) -> dict[int, Any]:
    """Return the objects that a deep copy takes as they are here, by the id of the original."""
    memo: dict[int, Any] = {}
    for p in model.parameters():
        if not is_lazy(p):
            memo[id(p)] = nn.Parameter(p.detach(), requires_grad=p.requires_grad)
    for module in model.modules():
        for held in vars(module).values():
            for one in _within(held):
                if id(one) not in memo and isinstance(one, Tensor) and not isinstance(one, nn.Parameter):
                    memo[id(one)] = one.detach().clone()  # one with a graph is refused by copy
                elif isinstance(one, torch.Generator):
                    memo[id(one)] = one.clone_state()
        for kind in (*_CALLED, *_GRADIENT):
            for hook in getattr(module, kind).values():
                if not _is_part(hook, list(model.modules())):
                    memo[id(hook)] = hook  # it leads to the user's own recorders
    return memo


def _within(held: Any) -> Iterator[Any]:
    """Yield what an attribute is, or holds in a list, tuple or dict."""
    if isinstance(held, Mapping):
        yield from held.values()
    elif isinstance(held, list | tuple):
        yield from held
    else:
        yield held


def _drop_hooks(module: nn.Module, own: list[nn.Module]) -> bool:
    """Take the hooks out that are no part of the model; return True where a forward would have called some."""
    called = False
    for kind in (*_CALLED, *_GRADIENT):
        hooks = getattr(module, kind)
        for key in [key for key, hook in hooks.items() if kind in _GRADIENT or not _is_part(hook, own)]:
            called |= kind in _CALLED
            del hooks[key]
    return called


def _is_part(hook: Any, own: list[nn.Module]) -> bool:
    while isinstance(hook, functools.partial):
        hook = hook.func
    owner = getattr(hook, "__self__", hook)
    homes = (getattr(hook, "__module__", None) or "", type(owner).__module__)
    return any(owner is module for module in own) or any(home.startswith(_PARTS) for home in homes)
