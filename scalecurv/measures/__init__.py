"""The questions that can be asked of a Problem, by the names that the command line knows."""

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
    """The measures of these names, each given those of `options` that it has a field for."""
    for name in names:
        if name not in MEASURES:
            raise Misuse(f"unknown measure {name!r}; choose from {', '.join(MEASURES)}")
    chosen = (MEASURES[name] for name in MEASURES if name in names)
    return tuple(m(**{k: v for k, v in options.items() if k in m.__dataclass_fields__}) for m in chosen)
