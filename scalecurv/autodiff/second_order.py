"""A user's forward pass in a form that can be differentiated twice.

Fused kernels define only a first derivative, or treat parts of it as constant that are not. Each is replaced by
primitives that compute the same function to rounding; the model itself is never changed.
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
    """Return `func` with a library of torch.backends switched off while it runs."""

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
    """Replace fused kernels of torch within by primitives with a correct second derivative.

    - Operations named in REPLACEMENTS: weight norm, lookups, distances, margins, CTC, piecewise-linear activations.
    - scaled_dot_product_attention is computed by products and a softmax, and Transformer modules by their parts.
    - LSTM, GRU and RNN run without cuDNN and oneDNN, grid_sample without cuDNN: those kernels have no second or no
      forward derivative.
    - torch.utils.checkpoint calls its function directly, since recomputing it later changes no value.
    - Compiled modules run uncompiled.

    The context may be nested; it leaves torch as it was, also where the model raises.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _eager(), _DIRECT, _Replacing():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Replacing(TorchFunctionMode):
    """A mode that looks every operation up in REPLACEMENTS and calls the others as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = REPLACEMENTS.get(func, func)
        return func(*args, **kwargs) if kwargs else func(*args)


def _eager() -> AbstractContextManager:
    """Return a context in which compiled modules run uncompiled; an empty one unless the compiler is loaded already."""
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


class _DirectCheckpoints:
    """A context in which torch.utils.checkpoint calls its function directly, under whatever name it was imported.

    checkpoint() looks both of its implementations up when it is called. The first thread to enter replaces them, the
    last to leave restores them.
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
    """Yield once and do nothing before or after the call, in place of the generator that checkpoint() runs."""
    yield


def _call(function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
    return function(*args)


_DIRECT = _DirectCheckpoints()
