"""A user's forward pass in the form that can be differentiated twice.

Fused kernels write down their first derivative alone, or hold constant in it what is none. Each is replaced by
primitives that are the same function to rounding; the model itself is never changed.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.utils.checkpoint
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from scalecurv.autodiff import lookups, primitives


def _without(name: str, func: Callable) -> Callable:
    """`func` with a library of torch.backends switched off while it runs."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        backend = getattr(torch.backends, name)
        enabled = backend.enabled
        backend.enabled = False
        try:
            return func(*args, **kwargs)
        finally:
            backend.enabled = enabled

    return plain


FUNCTIONS = torch._C._VariableFunctions
RECURRENT = (FUNCTIONS.lstm, FUNCTIONS.gru, FUNCTIONS.rnn_tanh, FUNCTIONS.rnn_relu)
REPLACEMENTS: dict[Callable, Callable] = {
    **primitives.REPLACEMENTS,
    **lookups.REPLACEMENTS,
    **{func: _without("cudnn", _without("mkldnn", func)) for func in RECURRENT},
    **{func: _without("cudnn", func) for func in (F.grid_sample, torch.grid_sampler)},
}


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within, what torch computes by fused kernels is made of primitives with a right second derivative.

    - Operations named in REPLACEMENTS: weight norm, lookups, distances, margins, CTC, piecewise-linear activations.
    - scaled_dot_product_attention is made of products and a softmax, and Transformer modules of their parts.
    - LSTM, GRU and RNN leave cuDNN and oneDNN, grid_sample leaves cuDNN: those have no second or no forward derivative.
    - torch.utils.checkpoint calls the function: to compute it again later changes no value.
    - What torch.compile made runs as it was written.

    May be nested; leaves torch as it was, also where the model raises.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _eager(), _DIRECT, _Replacing():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Replacing(TorchFunctionMode):
    """Looks every operation up; what is in no table is called as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = REPLACEMENTS.get(func, func)
        return func(*args, **kwargs) if kwargs else func(*args)


def _eager() -> AbstractContextManager:
    """torch.compile set aside, where anything has been compiled at all: to ask for it loads the compiler."""
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


class _DirectCheckpoints:
    """Within, torch.utils.checkpoint calls what it is given, whatever name it was imported by.

    checkpoint() looks both of its roads up when it is called. The first thread to enter lays them aside, the last to
    leave puts them back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._generator = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                module: Any = torch.utils.checkpoint
                self._generator = getattr(module, "_checkpoint_without_reentrant_generator", None)
                if self._generator is not None:
                    module._checkpoint_without_reentrant_generator = _pass_by
                if hasattr(module, "CheckpointFunction"):
                    module.CheckpointFunction.apply = _call

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                module: Any = torch.utils.checkpoint
                if self._generator is not None:
                    module._checkpoint_without_reentrant_generator = self._generator
                if hasattr(module, "CheckpointFunction"):
                    del module.CheckpointFunction.apply  # our own: the class inherits its apply


def _pass_by(*_: Any, **__: Any) -> Iterator[None]:
    """Stands for what checkpoint() does before and after the call: nothing."""
    yield


def _call(function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
    return function(*args)


_DIRECT = _DirectCheckpoints()
