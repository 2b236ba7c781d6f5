"""The measures: each answers one question about a problem, by estimates with intervals."""

from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.flatness import Flatness
from scalecurv.measures.gauss_newton import GaussNewton
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.named import MEASURES, measures_named
from scalecurv.measures.principal.principal import Principal
from scalecurv.measures.rank.rank import Rank
from scalecurv.measures.rescaling import Rescaling
from scalecurv.measures.sgd import Sgd
from scalecurv.measures.sharpness import Sharpness
from scalecurv.measures.spectrum import Spectrum
from scalecurv.quantities import DEFAULT

__all__ = [
    "DEFAULT",
    "MEASURES",
    "Curvature",
    "Extremes",
    "Flatness",
    "GaussNewton",
    "Gradient",
    "Measure",
    "Moments",
    "Principal",
    "Rank",
    "Rescaling",
    "Sgd",
    "Sharpness",
    "Spectrum",
    "measures_named",
]
