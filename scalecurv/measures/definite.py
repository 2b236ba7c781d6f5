"""Whether H is positive semidefinite: by what the loss is made of, or by the certificate on its smallest eigenvalue."""

import math

import torch

from scalecurv.curvature.layers import structure_of
from scalecurv.linalg.extremes import ROUNDING
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.interpolation import interpolates
from scalecurv.measures.krylov import Krylov
from scalecurv.measures.noise import noise_floor


def positive_semidefinite(evaluation: Evaluation, krylov: Krylov) -> bool:
    """H = G + R with G positive semidefinite: R vanishes at an exact fit under mse, and in a model of one affine layer.

    Elsewhere the certified lower bound on lambda_min has to lie above minus the noise floor of a product, |H| times it.
    """
    if interpolates(evaluation):
        return True
    mlp = structure_of(evaluation.problem)
    if mlp is not None and len(mlp.layers) == 1 and evaluation.problem.loss.factor is not None:
        return True
    share = noise_floor(evaluation).value
    if math.isnan(share):
        share = 0.0
    share = max(share, 2 * ROUNDING * torch.finfo(evaluation.problem.dtype).eps)
    return krylov.ends.smallest.lower >= -share * krylov.ends.norm
