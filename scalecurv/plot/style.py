"""The looks that all pictures share: colours, dashes, markers, and a style that gives way to the user's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import matplotlib
from matplotlib import rc_context, rc_params_from_file, rcParams, rcParamsDefault
from matplotlib.colors import Colormap, LinearSegmentedColormap

from scalecurv.errors import Misuse

STYLE = Path(__file__).with_name("scalecurv.mplstyle")
# Okabe and Ito (2008) without black and yellow, which one of two backgrounds hides, and with a grey and a violet: the
# cycle of scalecurv.mplstyle, in the same order, for what draws without Matplotlib
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#4B1F6F")
Dash = str | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (6, 2)), (0, (1, 1.3)), (0, (7, 1.6, 1.2, 1.6)), (0, (3, 1.2, 1, 1.2, 1, 1.2)))
COMPANION: Dash = (0, (3.2, 1.6))  # of what is drawn beside a quantity: thin, without markers
MARKERS = ("o", "s", "D", "P", "X")  # one for each of DASHES
LOWER_BOUND = "^"  # a marker that no line has: the truth is here or above
GREY = "#8A8A8A"  # of bounds and of marks that belong to no run
OPEN = ("budget", "lower_bound", "inconsistent")  # statuses whose markers are hollow
FAILED_MARK = "x"
BAND_ALPHA = 0.18


def sequential() -> Colormap:
    """Return the colour map of ordered values without its pale end, which white paper hides."""
    full = matplotlib.colormaps[rcParams["image.cmap"]]
    return LinearSegmentedColormap.from_list(f"{full.name}_dark", full([i / 255 * 0.9 for i in range(256)]))


def diverging() -> Colormap:
    """Return the colour map of signed values, white at 0."""
    return matplotlib.colormaps["RdBu_r"]


def palette() -> list[str]:
    """Return the colours of the cycle in effect: those of PALETTE, unless the user has set others."""
    colors = rcParams["axes.prop_cycle"].by_key().get("color", list(PALETTE))
    return list(dict.fromkeys(str(color) for color in colors))


@contextmanager
def styled(style_sheet: str | PathLike[str] | None = None, font_size: float | None = None) -> Iterator[None]:
    """Draw by our style inside the block; what the user has changed in rcParams or gives as `style_sheet` stays.

    `style_sheet` is a file, or a name of Matplotlib's list. `font_size` is in points. Raises Misuse for a style that
    is not there or cannot be read.
    """
    own = rc_params_from_file(STYLE, use_default_template=False)
    with rc_context({name: value for name, value in own.items() if rcParams[name] == rcParamsDefault[name]}):
        if style_sheet is not None:
            _use(style_sheet)
        if font_size is not None:
            if not 0 < font_size <= 100:
                raise Misuse(f"the font size is {font_size}; it must be positive and at most 100 points")
            rcParams["font.size"] = font_size
        yield


def _use(style_sheet: str | PathLike[str]) -> None:
    import matplotlib.style  # here, for it reads all styles of Matplotlib

    try:
        matplotlib.style.use(str(style_sheet))
    except (OSError, ValueError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        advice = "give a file of Matplotlib's settings (*.mplstyle), or a name such as ggplot"
        raise Misuse(f"the style {str(style_sheet)!r} cannot be used ({reason}); {advice}") from error
