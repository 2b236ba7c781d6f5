"""scalecurv: how flat is the loss at every checkpoint, and in how many directions?"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> where it lives; loaded when first asked for (PEP 562), so that reading a store loads no torch
_HOMES = {
    "Problem": "scalecurv.curvature.problem",
    "Estimate": "scalecurv.estimate",
    "trace": "scalecurv.ask",
    "scalar_curvature": "scalecurv.ask",
    "lambda_max": "scalecurv.ask",
    "functional_rank": "scalecurv.ask",
    "sectional_curvature": "scalecurv.ask",
    "ricci_curvature": "scalecurv.ask",
    "hessian": "scalecurv.ask",
    "open_store": "scalecurv.query",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scalecurv' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
