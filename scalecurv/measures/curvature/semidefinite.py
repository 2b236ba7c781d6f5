"""How far H may be from positive semidefinite, by what the loss is made of."""

import math
from dataclasses import dataclass

import torch

from scalecurv.linalg.inner import norms
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.risk import sum_over_data
from scalecurv.statistics.intervals import caution

STREAM = "residual part"
VECTORS = 3
CHANCE = 1e-4  # that |R|_F is beyond CAUTION times the largest |Rv|: at rank 1; 4e-8 where two eigenvalues are equal
CAUTION = caution(CHANCE, VECTORS)


@dataclass(frozen=True)
class Definite:
    """H = G + R with G positive semidefinite and |R|_F <= `norm`, |tr R| <= `trace`, but for a `chance`."""

    norm: float = 0.0
    trace: float = 0.0
    chance: float = 0.0
    num_matvecs: int = 0

    def of_square(self, trace_h2: float) -> float:
        """By how much |G|_F^2 may differ from |H|_F^2."""
        return 2 * math.sqrt(max(trace_h2, 0.0)) * self.norm + self.norm**2


def nearly_semidefinite(evaluation: Evaluation) -> Definite | None:
    """What H lacks of being positive semidefinite, remembered; None where nothing says that it nearly is.

    R, the part of H that the residuals weigh, is absent in a model of one affine layer, and small at an exact fit
    under mse: there its norm is taken from products of H and G in float64. An eigenvalue bound decides nothing here, as
    it cannot tell zero from slightly negative.
    """
    mlp = structure_of(evaluation.problem)
    if mlp is not None and len(mlp.layers) == 1 and evaluation.problem.loss.factor is not None:
        return Definite()
    if not interpolates(evaluation):
        return None

    def compute() -> Definite:
        problem = evaluation.double
        G = evaluation.gauss_newton
        V = probes(problem.num_params, evaluation.seed, STREAM, range(VECTORS), "gaussian", torch.float64)
        V = V.to(problem.device)
        norm = CAUTION * float(norms(evaluation.double_hessian.matmat(V) - G.matmat(V)).max())
        trace = 0.0 if mlp is not None else math.sqrt(problem.num_params) * norm
        return Definite(norm, trace, CHANCE, 2 * VECTORS)

    return evaluation.once("definite", compute)


FITTED = 1e-6  # of max(|y|, 1), largest residual in float64


def interpolates(evaluation: Evaluation) -> bool:
    """Whether the loss is mse and max |f - y| <= 1e-6 max(max |y|, 1) in float64, remembered."""
    problem = evaluation.double
    if problem.loss.name != "mse":
        return False

    def compute() -> bool:
        largest = problem.shard.largest(float(problem.y.abs().max()), problem.device)
        bound = FITTED * max(largest, 1.0)
        over = sum_over_data(
            problem, lambda batch: ((problem.outputs(problem.theta, batch.x) - batch.y).abs() > bound).sum()
        )
        return float(over) == 0

    return evaluation.once("interpolates", compute)
