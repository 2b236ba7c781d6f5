"""A picture of runs: their main quantities over training steps, each with its interval."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from scalecurv.errors import Misuse
from scalecurv.results.query import Store
from scalecurv.store.schema import ANALYSED

PANELS = {  # quantity: title, symbol, whether its scale is logarithmic (on both sides of zero)
    "loss": ("loss", "$L$", False),
    "trace": ("trace of the Hessian", r"$\mathrm{tr}\,H$", True),
    "lambda_max": ("largest eigenvalue of the Hessian", r"$\lambda_{\max}$", True),
    "scalar_curvature": ("scalar curvature, and what it is without the slope", "$K$", True),
    "rank": ("rank of the Jacobian over the batch", r"rank $J$", False),
}


def plot_run(store: Store, picture: Path) -> None:
    """Save a picture of `PANELS` over steps, a line for each run, bars for the intervals; its suffix is the format.

    Raises Misuse where matplotlib is missing, where no checkpoint has a step, or for an unknown suffix.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Misuse("plotting needs matplotlib; install scalecurv[demo]") from error
    results = store.results(all_columns=True)
    results = results[results["step"].notna() & (results["status"] != "failed")]
    if results.empty:
        raise Misuse(f"{store.path} holds no checkpoint with a step to draw over; see `scalecurv show {store.path}`")
    drawn = {name: panel for name, panel in PANELS.items() if results[name].notna().any()}
    if not drawn:
        raise Misuse(f"{store.path} holds no {', '.join(PANELS)} of a whole model to draw; blocks rest in estimates")
    figure = Figure(figsize=(7, 2.0 * len(drawn)), layout="constrained")
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    lines = _lines(results)
    for axes, (name, (title, symbol, logarithmic)) in zip(panels, drawn.items(), strict=True):
        for i, (label, rows) in enumerate(lines.items()):
            _bars(axes, rows, name, label=label, color=f"C{2 * i}")
            if name == "scalar_curvature":
                _bars(axes, rows, "t2_minus_f", label=rf"$T^2 - F$, {label}", color=f"C{2 * i + 1}", linestyle="--")
        if name == "rank":
            _ceilings(axes, store, results)
        axes.set_title(title, fontsize="medium")
        axes.set_ylabel(symbol)
        axes.grid(alpha=0.3)
        if name in ("scalar_curvature", "rank") or len(lines) > 1:
            axes.legend(fontsize="small")
        if logarithmic:
            axes.set_yscale("symlog", linthresh=_smallest_told_from_zero(results, name))
    axes.set_xlabel("training step")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    try:
        figure.savefig(picture, dpi=150)
    except (OSError, ValueError) as error:
        raise Misuse(f"{picture} cannot be drawn ({error}); give a file that ends in .png, .pdf or .svg") from error


def _lines(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each (run, task, dtype, seed) by a label: the run, and what else tells two lines apart."""
    names = ["run", *ANALYSED[1:]]
    apart = [name for name in names[1:] if results[name].nunique() > 1]
    lines = {}
    for values, rows in results.groupby(names):
        line = dict(zip(names, values, strict=True))
        label = ", ".join([Path(str(line["run"])).name, *(f"{name} {line[name]}" for name in apart)])
        lines[label if label not in lines else f"{line['run']}, {label}"] = rows
    return lines


def _bars(axes: Any, rows: pd.DataFrame, name: str, **style: Any) -> None:
    drawn = rows[rows[name].notna()]
    value = drawn[name].astype(float)
    below = (value - drawn[f"{name}_lower"].astype(float)).clip(lower=0)
    above = (drawn[f"{name}_upper"].astype(float) - value).clip(lower=0)
    axes.errorbar(drawn["step"].astype(int), value, yerr=[below, above], marker="o", markersize=3, capsize=2, **style)


def _ceilings(axes: Any, store: Store, results: pd.DataFrame) -> None:
    """Draw the two upper bounds on the rank: rows of J, and the architecture's ceiling."""
    tasks = store.table("tasks").set_index("task_id").loc[results["task_id"].unique()]
    rows = int((tasks["num_data"] * tasks["num_outputs"]).max())
    axes.axhline(rows, color="grey", linestyle="--", linewidth=1, label="samples x outputs")
    if results["rank_ceiling"].notna().any():
        ceiling = int(results["rank_ceiling"].max())
        axes.axhline(ceiling, color="grey", linestyle=":", linewidth=1, label="parameters - hidden neurons")


def _smallest_told_from_zero(results: pd.DataFrame, name: str) -> float:
    """Return the size below which the scale is linear, so that every point whose interval holds zero is below it."""
    lower, upper = results[f"{name}_lower"], results[f"{name}_upper"]
    ends = pd.concat([lower.abs(), upper.abs()], axis=1).max(axis=1)
    unsure = ends[(lower < 0) & (upper > 0) & (ends < math.inf)]
    sizes = results[name].abs()
    edge = float(unsure.max()) if len(unsure) else float(sizes[sizes > 0].min()) if (sizes > 0).any() else 1.0
    return 10.0 ** math.ceil(math.log10(edge))  # a power of ten, so that no tick falls beside zero
