"""Curvature while a model trains: for Lightning, for Hugging Face, and for loops of one's own.

Importing this module loads neither Lightning nor transformers: each callback loads its own when it is first named.

Example:
    >>> import torch, scalecurv as sc
    >>> model, x, y = torch.nn.Linear(3, 3), torch.eye(3), torch.arange(3)
    >>> monitor = sc.callbacks.Monitor((x, y), "cross_entropy", measures="lambda_max", every=100)
    >>> found = monitor(model, 0)  # in the loop, after optimizer.step(); None at most steps
    >>> found["lambda_max"].status.value
    'exact'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalecurv.callbacks.hugging_face import HuggingFaceCallback as HuggingFaceCallback
    from scalecurv.callbacks.lightning import LightningCallback as LightningCallback
    from scalecurv.callbacks.monitor import Monitor as Monitor

_HOMES = {
    "HuggingFaceCallback": "scalecurv.callbacks.hugging_face",
    "LightningCallback": "scalecurv.callbacks.lightning",
    "Monitor": "scalecurv.callbacks.monitor",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scalecurv.callbacks' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next time Python finds it without asking here
    return value


def __dir__() -> list[str]:
    return __all__
