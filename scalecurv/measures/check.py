"""What must hold at a point before any product is taken there."""

import math

from scalecurv.curvature.consistency import check_derivatives
from scalecurv.curvature.nonfinite import locate_nonfinite
from scalecurv.curvature.preflight import preflight
from scalecurv.errors import CheckpointError
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import loss_and_slope


def check_point(evaluation: Evaluation) -> None:
    """Raise CheckpointError where loss or gradient is not finite, Misuse where the loss is no function of theta.

    Numbers are asked for first: outputs that overflow are not the same twice either, and nothing is to be blamed on
    the model then. At last H and J are checked against differences, for CheckpointError where they are not what they
    claim. Everything is remembered: only the first measure pays.
    """
    loss, grad_norm, _ = loss_and_slope(evaluation)
    for name, value in (("loss", loss), ("gradient norm", grad_norm)):
        if not math.isfinite(value):
            place = locate_nonfinite(evaluation.problem)
            seen = f", first seen in {place}" if place else ""  # a norm can overflow where every entry is finite
            raise CheckpointError(f"the {name} is {value} at these weights{seen}; there is no curvature to speak of")
    preflight(evaluation.problem)
    check_derivatives(evaluation.problem)
