"""Pictures as files: png, svg and pdf, the same bytes for the same numbers."""

import errno
import io
import os
import secrets
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rc_params_from_file, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalecurv.errors import Misuse
from scalecurv.plot.canvas import checked_size, figure_of, remark
from scalecurv.plot.style import STYLE

FORMATS = ("png", "svg", "pdf")
DPI_RANGE = (20, 2400)
MOST_PIXELS = 4e8  # of a png, which takes four bytes for each while it is drawn


def save(axes: Any, path: str | PathLike[str], *, dpi: float | None = None, size: Any = None) -> Path:
    """Write the figure of an Axes, or of an array of them, to a file; return its path.

    The suffix is the format: .png, .svg or .pdf. `dpi` are the dots per inch of a png, `size` the width and height in
    inches. A pdf holds its fonts as text that can be searched; an svg holds shapes, and needs no font. No date is
    written, so that the same numbers give the same file. Raises Misuse where the file cannot be written.

    Example:
        >>> import pandas as pd, scalecurv as sc, tempfile
        >>> panel = sc.plot.trajectories(pd.DataFrame({"step": [0, 10], "loss": [3.0, 5.0]}), "loss")
        >>> sc.plot.save(panel, f"{tempfile.mkdtemp()}/loss.pdf").name
        'loss.pdf'
    """
    figure = figure_to_save(axes)
    target, form = checked_file(path)
    if dpi is not None and not DPI_RANGE[0] <= dpi <= DPI_RANGE[1]:
        raise Misuse(f"dpi is {dpi:g}; give dots per inch from {DPI_RANGE[0]} to {DPI_RANGE[1]}")
    if size is not None:
        checked_size(size)
        figure.set_size_inches(float(size[0]), float(size[1]))
    if form == "png":
        _checked_pixels(figure, dpi)
    own = rc_params_from_file(STYLE, use_default_template=False)
    kept = {name: value for name, value in own.items() if rcParams[name] == rcParamsDefault[name]}
    undated: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with rc_context(kept), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = io.BytesIO()
        figure.savefig(drawn, format=form, dpi=dpi or "figure" if form != "png" else dpi, metadata=undated[form])
    try:
        _write(target, drawn.getvalue())
    except OSError as error:
        room = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give a file that can be"
        raise Misuse(f"{target} cannot be written ({error.strerror or error}); {room}") from error
    _pass_on(caught, figure)
    return target


def checked_file(path: str | PathLike[str]) -> tuple[Path, str]:
    """Return the path of a picture and its format; raises Misuse where no picture can be written there."""
    target = Path(path)
    form = target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise Misuse(f"{target} ends in {target.suffix!r}; give a file that ends in .png, .pdf or .svg")
    try:
        folder = target.is_dir()
    except OSError as error:
        raise Misuse(f"{target} cannot be written ({error.strerror}); give another name") from error
    if folder:
        raise Misuse(f"{target} is a folder; give the file to write, such as {target / f'picture.{form}'}")
    if not target.parent.is_dir():
        raise Misuse(f"the folder {target.parent} does not exist; make it with: mkdir -p {target.parent}")
    return target, form


def _checked_pixels(figure: Figure, dpi: float | None) -> None:
    """Raise Misuse for a picture that would take the memory of a whole machine."""
    dots = dpi or rcParams["savefig.dpi"]
    dots = figure.dpi if dots == "figure" else float(dots)
    width, height = (round(side * dots) for side in figure.get_size_inches())
    if width * height > MOST_PIXELS:
        raise Misuse(f"the picture would have {width:,} x {height:,} pixels; give a smaller size or dpi, or a .pdf")


def _write(target: Path, content: bytes) -> None:
    """Write a file whole or not at all; a link stays one, and what is no file, such as a device, is written to."""
    real = Path(os.path.realpath(target))
    if real.exists() and not real.is_file():
        real.write_bytes(content)
        return
    temporary = real.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, real)
    finally:
        temporary.unlink(missing_ok=True)


def figure_to_save(axes: Any) -> Figure:
    """Return the figure of an Axes, of an array of them, or the figure itself; raises Misuse for anything else."""
    if isinstance(axes, Figure):
        return axes
    first = axes.flat[0] if isinstance(axes, np.ndarray) and axes.size else axes
    if not isinstance(first, Axes):
        raise Misuse(
            f"{type(axes).__name__} cannot be saved; give the Axes that a picture returned, or an array of them"
        )
    return figure_of(first)


def _pass_on(caught: list[warnings.WarningMessage], figure: Figure) -> None:
    """Pass on all warnings but those of missing letters and of too little room, which become one remark each."""
    missing = [one for one in caught if "missing from font" in str(one.message)]
    crowded = [one for one in caught if "axes sizes collapsed" in str(one.message)]
    for one in caught:
        if one not in missing and one not in crowded:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        letters = len({str(one.message) for one in missing})
        remark(figure, f"{letters} character(s) are in no font here: give a style with font.family: NAME OF A FONT")
    if crowded:
        width, height = figure.get_size_inches()
        remark(figure, f"the words leave no room for the panels in {width:g}x{height:g} inches: give a larger size")
