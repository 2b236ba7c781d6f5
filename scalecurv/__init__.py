"""scalecurv: how flat is the loss at every checkpoint, and in how many directions?"""

from importlib import import_module

__version__ = "0.1.0"

# home -> the public names that live there; loaded when first asked for (PEP 562), so that reading a store loads no
# torch. `__init__.pyi` says the same to type checkers and editors.
_PUBLIC: dict[str, tuple[str, ...]] = {
    "scalecurv.problem.problem": ("Problem",),
    "scalecurv.notebook.operators": ("gradient", "hessian", "gauss_newton", "jacobian"),
    "scalecurv.notebook.scalars": ("trace", "trace_h2", "lambda_max", "lambda_min"),
    "scalecurv.notebook.eigenpairs": ("eigenpairs",),
    "scalecurv.notebook.spectra": ("spectrum", "density"),
    "scalecurv.notebook.curvatures": (
        "scalar_curvature",
        "principal_curvatures",
        "sectional_curvature",
        "ricci_curvature",
    ),
    "scalecurv.notebook.ranks": ("functional_rank", "rank_report"),
    "scalecurv.notebook.analyze": ("analyze",),
    "scalecurv.sweeps.sweep": ("sweep",),
    "scalecurv.results.query": ("open_store", "Store"),
    "scalecurv.results.spectral_sums": ("effective_dimension", "log_determinant"),
    "scalecurv.statistics.estimate": ("Estimate", "Status"),
    "scalecurv.record": ("Outcome",),
    "scalecurv.linalg.operator": ("LinearOperator",),
    "scalecurv.measures.evaluation": ("Evaluation",),
    "scalecurv.measures.measure": ("Measure", "Findings"),
    "scalecurv.quantities": ("Quantity",),
    "scalecurv.errors": ("Misuse", "NothingFound", "CheckpointError", "StoreError", "ClusterError"),
}
_ROOMS = ("callbacks", "plot")  # public modules, whose own names are public too
_HOMES = {name: home for home, names in _PUBLIC.items() for name in names}
__all__ = sorted([*_HOMES, *_ROOMS])


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"scalecurv.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'scalecurv' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next time Python finds it without asking here
    return value


def __dir__() -> list[str]:
    return __all__
