"""The surroundings of a measurement: whatever a training rests on is put back as it was."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as hooks_of_all

# float32 products on each kind of hardware, and whether they may round factors to fewer bits
_BACKENDS: Any = torch.backends
_PRECISIONS = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.rnn,
)
_COARSE = ("tf32", "bf16")
# hooks that torch calls in every module of the process
_GLOBAL_HOOKS: tuple[dict[Any, Any], ...] = (
    hooks_of_all._global_forward_hooks,
    hooks_of_all._global_forward_pre_hooks,
    hooks_of_all._global_backward_hooks,
    hooks_of_all._global_backward_pre_hooks,
)


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Measure as in a program of its own, and put back what a training rests on, also where an error passes.

    Within, all random streams begin from `seed`, gradients are recorded, autocast is off, float32 is float32, and no
    hook for all modules is called. At the end the random streams of Python, NumPy and torch (on every device that was
    used) continue where they were.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  a training may draw from it
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.callback(random.setstate, python)
        stack.callback(np.random.set_state, numpy)
        stack.callback(torch.set_default_dtype, dtype)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda") if devices else ("cpu",):
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_plain_float32())
        stack.enter_context(_without_global_hooks())
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        yield


@contextmanager
def _plain_float32() -> Iterator[None]:
    """Take products of float32 in float32, whatever a training allows."""
    coarse = [(place, place.fp32_precision) for place in _PRECISIONS if place.fp32_precision in _COARSE]
    try:
        for place, _ in coarse:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, precision in coarse:
            place.fp32_precision = precision


@contextmanager
def _without_global_hooks() -> Iterator[None]:
    held = [dict(hooks) for hooks in _GLOBAL_HOOKS]
    try:
        for hooks in _GLOBAL_HOOKS:
            hooks.clear()
        yield
    finally:
        for hooks, before in zip(_GLOBAL_HOOKS, held, strict=True):
            hooks.clear()
            hooks.update(before)
