"""The measures, by the names that the command line knows."""

from typing import Any

from scalecurv.errors import Misuse
from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.gauss_newton import GaussNewton
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.principal.principal import Principal
from scalecurv.measures.rank.rank import Rank
from scalecurv.measures.rescaling import Rescaling
from scalecurv.measures.spectrum import Spectrum

MEASURES: dict[str, type[Measure]] = {
    m.name: m for m in (Gradient, Extremes, Moments, Rescaling, Curvature, Rank, Spectrum, Principal, GaussNewton)
}
DEFAULT: tuple[str, ...] = ("gradient", "extremes", "moments", "rescaling", "curvature", "rank")


def measures_named(names: tuple[str, ...], **options: Any) -> tuple[Measure, ...]:
    """Return the measures of these names, in the order of MEASURES, each with the `options` that it has a field for.

    Raises Misuse for a name that is not known, and for options that a measure refuses.

    Example:
        >>> gradient, moments = measures_named(("moments", "gradient"), rtol=0.1)
        >>> gradient.name, moments.name, moments.options["rtol"]
        ('gradient', 'moments', 0.1)
    """
    for name in names:
        if name not in MEASURES:
            raise Misuse(f"unknown measure {name!r}; choose from {', '.join(MEASURES)}")
    chosen = (MEASURES[name] for name in MEASURES if name in names)
    return tuple(m(**{k: v for k, v in options.items() if k in m.__dataclass_fields__}) for m in chosen)
