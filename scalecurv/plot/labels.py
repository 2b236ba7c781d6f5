"""Words on pictures: the symbol and the name of each quantity, and text of users that is shown as it is."""

import math
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from matplotlib import rcParams
from matplotlib.mathtext import MathTextParser

from scalecurv.quantities import CHAIN, QUANTITIES

SYMBOLS = {
    "loss": r"$L$",
    "grad_norm": r"$|g|$",
    "trace": r"$T = \mathrm{tr}\,H$",
    "trace_h2": r"$F = \mathrm{tr}\,H^2$",
    "lambda_max": r"$\lambda_{\max}$",
    "lambda_min": r"$\lambda_{\min}$",
    "ghg": r"$g^\top\! H g$",
    "gh2g": r"$g^\top\! H^2 g$",
    "scalar_curvature": r"$K$",
    "beta": r"$\beta$",
    "t2_minus_f": r"$T^2 - F$",
    "rank": r"rank $J$",
    "trace_ggn": r"$\mathrm{tr}\,G$",
    "lambda_max_ggn": r"$\lambda_{\max}(G)$",
    "residual_share": r"$\|H - G\|_F / \|H\|_F$",
    "effective_rank": r"$T / \lambda_{\max}$",
    "participation_ratio": r"$T^2 / F$",
}
TITLES = {
    "loss": "loss",
    "grad_norm": "norm of the gradient",
    "trace": "trace of the Hessian",
    "trace_h2": "squared Frobenius norm of the Hessian",
    "lambda_max": "largest eigenvalue of the Hessian",
    "lambda_min": "smallest eigenvalue of the Hessian",
    "scalar_curvature": "scalar curvature",
    "rank": "rank of the Jacobian over the batch",
    "beta": r"$\beta = 1/(1 + |g|^2)$",
    "t2_minus_f": r"$T^2 - F$",
    **{name: f"link {i} of the chain of bounds" for i, name in enumerate(CHAIN, 1)},
}
_MEANINGS = {quantity.name: quantity.meaning for quantity in QUANTITIES}
_TEX = re.compile(r"[\\{}_%&#^~]")
_TEX_ESCAPES = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
LONGEST = 36  # characters of a name in a legend


def plain(text: Any) -> str:
    r"""Return a text that Matplotlib draws letter by letter: a `$` in it begins no formula, and no control is drawn.

    Example:
        >>> plain("$a_1 < b$\n")
        '\\$a_1 < b\\$ '
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    if rcParams["text.usetex"]:
        shown = _TEX.sub(lambda found: _TEX_ESCAPES.get(found[0], "\\" + found[0]), shown)
    return shown.replace("$", r"\$")


def shortened(text: Any, longest: int = LONGEST) -> str:
    r"""Return a text of at most `longest` characters: its middle gives way to a mark.

    Example:
        >>> shortened("a_run_with_a_name_that_does_not_end_seed3", 20).split("\u2026")
        ['a_run_with', 'end_seed3']
    """
    shown = str(text)
    if len(shown) <= longest:
        return shown
    head = longest // 2
    return f"{shown[:head]}…{shown[len(shown) - (longest - head - 1) :]}"


def told_apart(names: Sequence[Any], longest: int = LONGEST) -> list[str]:
    r"""Return short forms of names that are as different as the names: from where those differ that would be the same.

    Example:
        >>> names = told_apart(["width_64_lr_0.1_of_the_first_sweep", "width_64_lr_0.2_of_the_first_sweep"], 16)
        >>> [name.strip("\u2026") for name in names]  # without the marks of what is left out
        ['_lr_0.1_of_the', '_lr_0.2_of_the']
    """
    texts = [str(name) for name in names]
    short = [shortened(text, longest) for text in texts]
    for text in dict.fromkeys(name for name in short if short.count(name) > 1):
        group = [i for i, name in enumerate(short) if name == text]
        if len({texts[i] for i in group}) == 1:
            continue
        same = next(n for n, letters in enumerate(zip_longest(*(texts[i] for i in group))) if len(set(letters)) > 1)
        start = max(same - 6, 0)
        for number, i in enumerate(group, 1):
            end = texts[i][start:]
            short[i] = f"…{end}" if len(end) < longest else f"…{end[: longest - 2]}…"
            if short.count(short[i]) > 1:
                short[i] += f" ({number})"
    return short


def symbol(name: str) -> str:
    """Return what an axis calls a quantity: its symbol, else its name without underscores."""
    return SYMBOLS.get(name, plain(name.replace("_", " ")) if name.isidentifier() else plain(name))


def title(name: str) -> str:
    """Return the words above a panel of a quantity: a short title, else its meaning; "" for an expression."""
    return TITLES.get(name, plain(_MEANINGS.get(name, "")))


def value_text(value: Any) -> str:
    """Return a value of an attribute as a legend has it: numbers in their shortest form.

    Example:
        >>> [value_text(v) for v in (0.1, 1000000, 1e-7, 3.0, True, "adam", None)]
        ['0.1', '1000000', '1e-07', '3', 'True', 'adam', 'none']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


_INLINE = {
    "loss": "$L$",
    "trace": "$T$",
    "trace_h2": "$F$",
    "scalar_curvature": "$K$",
    "beta": r"$\beta$",
    "lambda_max": r"$\lambda_{\max}$",
    "lambda_min": r"$\lambda_{\min}$",
    "grad_norm": "$|g|$",
    "eta": r"$\eta$",
    "trace_ggn": r"$\mathrm{tr}\,G$",
    "lambda_max_ggn": r"$\lambda_{\max}(G)$",
}
_ARITHMETIC = re.compile(r"[\w\s.+\-*/()]+")
_PARSER = MathTextParser("path")


def inline(expression: str) -> str:
    """Return a SQL expression as an axis names it: plain arithmetic with the symbols of its quantities."""
    shown = " ".join(expression.split())
    if not _ARITHMETIC.fullmatch(shown) or rcParams["text.usetex"]:
        return plain(shown)
    shown = re.sub(r"\s*\*\*\s*", "^", shown)
    shown = re.sub(r"\s*([*/])\s*", lambda found: " · " if found[1] == "*" else " / ", shown)
    return re.sub(r"[A-Za-z_]\w*", lambda found: _INLINE.get(found[0], found[0]), shown)


def formula(text: str) -> str:
    """Return words in which `$` may enclose formulas, letter by letter where these cannot be set."""
    if rcParams["text.usetex"]:
        return text
    try:
        _PARSER.parse(text)
    except ValueError:
        return plain(text)
    return text
