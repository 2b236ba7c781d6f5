"""scalecurv: how flat is the loss at every checkpoint, and in how many directions?"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> where it lives; loaded when first asked for (PEP 562), so that reading a store loads no torch
_HOMES = {
    "Problem": "scalecurv.problem.problem",
    "Estimate": "scalecurv.statistics.estimate",
    "trace": "scalecurv.notebook",
    "scalar_curvature": "scalecurv.notebook",
    "lambda_max": "scalecurv.notebook",
    "functional_rank": "scalecurv.notebook",
    "sectional_curvature": "scalecurv.notebook",
    "ricci_curvature": "scalecurv.notebook",
    "hessian": "scalecurv.notebook",
    "open_store": "scalecurv.results.query",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scalecurv' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
