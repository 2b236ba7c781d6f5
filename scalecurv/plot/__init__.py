"""Pictures of results: functions that take a store, or a frame of its table `results`, and return Matplotlib axes.

Example:
    >>> import pandas as pd, scalecurv as sc
    >>> axes = sc.plot.trajectories(pd.DataFrame({"step": [0, 10], "loss": [2.0, 0.5]}), "loss")
    >>> axes.get_xlabel()
    'training step'
"""

from importlib import import_module
from typing import Any

# home -> the functions that live there; loaded when first asked for, so that naming a picture loads no Matplotlib
_PUBLIC: dict[str, tuple[str, ...]] = {
    "scalecurv.plot.over_steps": ("trajectories",),
    "scalecurv.plot.comparison": ("compare",),
    "scalecurv.plot.densities": ("spectrum",),
    "scalecurv.plot.ranks": ("account", "rank_profile"),
    "scalecurv.plot.brackets": ("chain",),
    "scalecurv.plot.layered": ("layers",),
    "scalecurv.plot.scatter": ("against",),
    "scalecurv.plot.saving": ("save",),
}
_HOMES = {name: home for home, names in _PUBLIC.items() for name in names}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scalecurv.plot' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
