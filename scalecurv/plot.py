"""A run at a glance: its main quantities over training steps, each with its interval."""

from pathlib import Path

import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.query import Store

PANELS = {
    "loss": ("loss", "L"),
    "trace": ("trace of the Hessian", "tr H"),
    "lambda_max": ("largest eigenvalue", "λ_max"),
    "scalar_curvature": ("scalar curvature, and what it is without the slope", "K"),
    "rank": ("rank of the Jacobian over the batch", "rank J"),
}


def plot_run(store: Store, picture: Path) -> None:
    """Save one picture of `PANELS` over steps, a line a run, bars for the intervals; the suffix names the format.

    Raises Misuse where matplotlib is missing, or no checkpoint has a step.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Misuse("plotting needs matplotlib; install scalecurv[demo]") from error
    results = store.results()
    results = results[results["step"].notna() & (results["status"] != "failed")]
    if results.empty:
        raise Misuse(f"{store.path} holds no checkpoint with a step to draw over; see `scalecurv show {store.path}`")
    figure = Figure(figsize=(7, 2.1 * len(PANELS)), layout="constrained")
    for axes, (name, (title, symbol)) in zip(figure.subplots(len(PANELS), 1, sharex=True), PANELS.items(), strict=True):
        for run, rows in results.groupby("run"):
            _bars(axes, rows, name, label=Path(str(run)).name)
            if name == "scalar_curvature":
                _bars(axes, rows, "t2_minus_f", label="T² - F", linestyle="--")
        if name == "rank" and results["rank_ceiling"].notna().any():
            axes.axhline(float(results["rank_ceiling"].max()), color="grey", linestyle=":", label="P - hidden neurons")
        axes.set(title=title, ylabel=symbol)
        if name in ("scalar_curvature", "rank") or results["run"].nunique() > 1:
            axes.legend(fontsize="small")
        if name in ("scalar_curvature", "trace", "lambda_max"):
            axes.set_yscale("symlog", linthresh=_smallest(results, name))
    axes.set_xlabel("training step")
    try:
        figure.savefig(picture, dpi=150)
    except (OSError, ValueError) as error:
        raise Misuse(f"{picture} cannot be drawn ({error}); give a file that ends in .png, .pdf or .svg") from error


def _bars(axes, rows: pd.DataFrame, name: str, **style) -> None:  # type: ignore[no-untyped-def]
    drawn = rows[rows[name].notna()]
    value = drawn[name].astype(float)
    below = (value - drawn[f"{name}_lower"].astype(float)).clip(lower=0)
    above = (drawn[f"{name}_upper"].astype(float) - value).clip(lower=0)
    axes.errorbar(drawn["step"].astype(int), value, yerr=[below, above], marker="o", markersize=3, capsize=2, **style)


def _smallest(results: pd.DataFrame, name: str) -> float:
    """Where the symmetric logarithm turns linear: at the smallest magnitude that is drawn."""
    sizes = results[name].abs()
    return float(sizes[sizes > 0].min()) if (sizes > 0).any() else 1.0
