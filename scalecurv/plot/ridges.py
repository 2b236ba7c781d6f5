"""Spectral densities as curves: one above another for each step, or a single one with its errors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalecurv.plot.masses import Spectrum, even_grid, shares, single_peak
from scalecurv.plot.style import BAND_ALPHA, PALETTE, sequential

HEIGHT = 1.5  # of the highest ridge, in distances between two of them
FLOOR = 1 / 3  # of the peak of a single eigenvalue: where a logarithmic scale ends


def curve(one: Spectrum, width: float, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points and density of a smoothed spectrum, or the corners of its histogram where `width` is 0."""
    if width == 0:
        return np.repeat(edges, 2)[1:-1], np.repeat(shares(one.rule, 0.0, edges), 2)
    grid = even_grid(one.rule, width)
    return grid, np.asarray(one.rule.density(width, grid).values)


def draw_ridges(axis: Axes, spectra: list[Spectrum], width: float, edges: np.ndarray, scale: str) -> list[Any]:
    """Draw a ridge for each spectrum, the first step at the top; return the legend's artists.

    The foot of a ridge is the line of its step. Its height is the density, or its logarithm above the floor.
    """
    curves = [curve(one, width, edges) for one in spectra]
    top = max(float(values.max()) for _, values in curves)
    floor = min(FLOOR * min(single_peak(one, width, edges) for one in spectra), top / 10)
    colors = sequential()(np.linspace(0, 1, len(spectra)))
    for i, (one, (t, values)) in enumerate(zip(spectra, curves, strict=True)):
        foot = len(spectra) - 1 - i
        height = HEIGHT * ridge_height(values, scale, floor, top)
        axis.fill_between(t, foot, foot + height, color=colors[i], alpha=0.55, linewidth=0, zorder=2 + i / 100)
        axis.plot(t, foot + height, color=colors[i], linewidth=0.9, zorder=2 + i / 100, gid=f"step {one.step}")
        axis.axhline(foot, color="#BBBBBB", linewidth=0.5, zorder=1.5)
        _ends(axis, one, foot)
    axis.set_yticks(range(len(spectra)), [f"{one.step or 0:,}" for one in reversed(spectra)])
    axis.set_ylim(-0.35, len(spectra) - 1 + HEIGHT + 0.1)
    axis.grid(False, axis="y")
    words = f"log density, {floor:.1g} to {top:.1g} per unit" if scale == "log" else f"density, to {top:.2g} per unit"
    what = Patch(facecolor=colors[0], alpha=0.55, label=words)  # of eigenvalue, as the axis of a single density says
    return [what, *end_handles(spectra)]


def ridge_height(values: np.ndarray, scale: str, floor: float, top: float) -> np.ndarray:
    """Return the height of a ridge from 0 to 1: the density, or its logarithm between the floor and the top."""
    if scale == "linear":
        return np.asarray(values / top)
    return np.asarray(np.log(np.maximum(values, floor) / floor) / np.log(top / floor))


def draw_single(axis: Axes, spectra: list[Spectrum], width: float, edges: np.ndarray, scale: str) -> list[Any]:
    """Draw one density with its errors, or a histogram of all eigenvalues; return the legend's artists."""
    (one,) = spectra
    color = PALETTE[0]
    floor = FLOOR * single_peak(one, width, edges)
    handles: list[Any] = []
    if width == 0:
        values = shares(one.rule, 0.0, edges)
        handles.append(
            axis.stairs(values, edges, fill=True, color=color, alpha=0.6, baseline=floor, label="all eigenvalues")
        )
        foot = np.full(len(one.rule.nodes), 0.015)
        low: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "markersize": 5, "alpha": 0.4}
        axis.plot(one.rule.nodes, foot, "|", color="#333333", gid="eigenvalues", **low)
        handles.append(Line2D([], [], marker="|", color="#333333", linestyle="none", label="each eigenvalue"))
        peak = float(values.max())
    else:
        grid = even_grid(one.rule, width)
        found = one.rule.density(width, grid)
        unsure = np.isfinite(found.stderr).all()
        if unsure:
            looks: dict[str, Any] = {"color": color, "linewidth": 0}
            axis.fill_between(grid, *found.interval(), alpha=BAND_ALPHA * 0.7, gid="truncation", **looks)
            sampled = found.interval(truncation=False)
            axis.fill_between(grid, *sampled, alpha=BAND_ALPHA * 1.6, gid="sampling", **looks)
        words = f"density, smoothed by $\\sigma$ = {found.width:.3g}"
        (line,) = axis.plot(grid, found.values, color=color, linewidth=1.3, label=words, gid="density")
        handles.append(line)
        if unsure:
            starts = f"95 % over {one.rule.num_starts} random starts"
            handles.append(Patch(facecolor=color, alpha=BAND_ALPHA * 1.6, label=starts))
            handles.append(Patch(facecolor=color, alpha=BAND_ALPHA * 0.7, label="and the bound on the truncation"))
        else:
            handles.append(Line2D([], [], linestyle="none", label="one start: its sampling error is not known"))
        peak = float(found.values.max())
    if scale == "log":
        axis.set_yscale("log")
        axis.set_ylim(min(floor, peak / 10), peak * 2)
    else:
        axis.set_ylim(0, peak * 1.08)
    for bounds, marker in ((one.smallest, "v"), (one.largest, "^")):
        if np.isfinite(bounds).all():
            axis.axvspan(*bounds, color=PALETTE[1], alpha=0.25, linewidth=0)
            at: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "markersize": 6, "zorder": 4}
            axis.plot([np.mean(bounds)], [0.03], marker=marker, color=PALETTE[1], gid="end", **at)
    return handles + end_handles(spectra)


def _ends(axis: Axes, one: Spectrum, foot: float) -> None:
    """Mark both ends of the spectrum with their intervals at the foot of a ridge."""
    for bounds, marker in ((one.smallest, "v"), (one.largest, "^")):
        if np.isfinite(bounds).all():
            axis.hlines(foot, *bounds, color=PALETTE[1], linewidth=1.6, zorder=4)
            axis.plot([np.mean(bounds)], [foot], marker=marker, color=PALETTE[1], markersize=4.5, zorder=4, gid="end")


def end_handles(spectra: list[Spectrum]) -> list[Line2D]:
    """Return the legend's artists for the ends of the spectrum, as far as any is stored."""
    sides = (("largest", "^", r"\max"), ("smallest", "v", r"\min"))
    return [
        Line2D([], [], marker=marker, color=PALETTE[1], label=rf"$\lambda_{{{name}}}$ with its interval")
        for side, marker, name in sides
        if any(np.isfinite(getattr(one, side)).all() for one in spectra)
    ]
