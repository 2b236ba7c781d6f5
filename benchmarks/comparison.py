"""The table and the picture of time_to_accuracy: medians over seeds, the best peer of each line, and where we lose."""

from pathlib import Path

import numpy as np
import pandas as pd

LINE = ["net", "loss", "when", "quantity"]
OURS = "scalecurv"
COST = "gradients"


def summary_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each line and library: medians over seeds of the method of the fewest products.

    `least` and `most` are the spread of the costs over seeds. A median over seeds one of which was extrapolated counts
    as extrapolated, and one that never meets the target is NaN.
    """
    by_method = rows.groupby([*LINE, "library", "method"], sort=False)
    found = by_method.agg(
        products=("products", lambda n: np.median(n.to_numpy())),  # NaN where one seed never met the target
        error=("error", "median"),
        gradients=(COST, lambda n: np.median(n.to_numpy())),
        least=(COST, "min"),
        most=(COST, "max"),
        extrapolated=("extrapolated", "any"),
    ).reset_index()
    order = found.assign(unmet=found["products"].isna()).sort_values(["unmet", "products"], kind="stable")
    return order.drop_duplicates([*LINE, "library"]).drop(columns="unmet").sort_index().reset_index(drop=True)


def ratios_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each line the best peer and its cost over ours, in seconds and in products."""
    lines = []
    for line, rows in table.groupby(LINE, sort=False):
        ours = rows[rows["library"] == OURS].iloc[0]
        peers = rows[rows["library"] != OURS].dropna(subset=[COST])
        if peers.empty:
            continue
        best = peers.loc[peers[COST].idxmin()]
        mark = "~" if best["extrapolated"] else ""
        lines.append(
            {
                **dict(zip(LINE, line, strict=True)),
                "ours": ours[COST],
                "spread": f"{ours['least']:.3g}-{ours['most']:.3g}",
                "products": ours["products"],
                "error": ours["error"],
                "best peer": f"{best['library']}, {best['method']}",
                "its cost": f"{mark}{best[COST]:.4g}",
                "its products": f"{mark}{best['products']:.4g}",
                "seconds, peer / ours": best[COST] / ours[COST],
            }
        )
    return pd.DataFrame(lines)


def losses_of(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return the lines in which the best peer takes fewer seconds than we do."""
    return ratios[ratios["seconds, peer / ours"] < 1]


def lines_of(table: pd.DataFrame, num_data: int, seeds: int) -> list[str]:
    """Return the text of the benchmark: ours against the best peer, what the goals say, every library."""
    ratios = ratios_of(table)
    K = ratios[ratios["quantity"] == "K"].set_index(["net", "loss", "when"])["seconds, peer / ours"]
    trained, early = K.xs("trained", level="when"), K.xs("init", level="when")
    ends = table[table["quantity"] == "lambda_max"].set_index(["library", "net", "loss", "when"])["products"]
    ratio = (ends[OURS] / ends["curvlinops"]).max() if "curvlinops" in ends else np.nan
    return [
        f"Costs in gradients (seconds over those of one forward and backward), N = {num_data}, float32, medians over "
        f"{seeds} seeds.",
        "A peer has an oracle's stop: it ends where its true error stays below the target. ~ is extrapolated from the "
        "spread of its samples.",
        text_of(ratios),
        f"K to 1 %, seconds of the best peer over ours: trained {trained.min():.0f} to {trained.max():.0f} "
        f"(goal: 100), "
        f"init under cross entropy {early.xs('cross_entropy', level='loss').min():.0f} (goal: 1000)",
        f"largest eigenvalue to 1e-3, our products over those of eigsh: at most {ratio:.2f} (goal: 0.5)",
        "",
        "Every library, its best method; products, true error at the stop, cost and its spread over seeds:",
        text_of(table),
    ]


def text_of(table: pd.DataFrame) -> str:
    return "none" if table.empty else table.to_string(index=False, float_format=lambda value: f"{value:.3g}")


def picture_of(table: pd.DataFrame, path: Path) -> None:
    """Draw the costs of all libraries, one panel for each quantity, on a logarithmic scale; hollow is extrapolated."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    quantities, libraries = table["quantity"].unique(), table["library"].unique()
    figure, panels = plt.subplots(
        1, len(quantities), figsize=(4 * len(quantities), 4), sharex=True, layout="constrained"
    )
    points = list(table[["net", "loss", "when"]].drop_duplicates().itertuples(index=False, name=None))
    for panel, quantity in zip(np.atleast_1d(panels), quantities, strict=True):
        for i, library in enumerate(libraries):
            rows = table[(table["quantity"] == quantity) & (table["library"] == library)]
            x = [points.index(key) for key in rows[["net", "loss", "when"]].itertuples(index=False, name=None)]
            face = ["none" if open_ else f"C{i}" for open_ in rows["extrapolated"]]
            panel.scatter(x, rows[COST], label=library, edgecolors=f"C{i}", facecolors=face)
        panel.set(yscale="log", title=quantity, xticks=range(len(points)))
        panel.set_xticklabels([f"{loss} {when}" for _, loss, when in points], rotation=60, ha="right")
    np.atleast_1d(panels)[0].set_ylabel("gradients")
    np.atleast_1d(panels)[-1].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
