"""The distance of H from a positive semidefinite matrix, from the structure of the loss at an exact fit."""

import math

from torch import Tensor

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import VECTORS, Perturbation, cautious_norm, spot_vectors
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.remembered import remembered
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch

STREAM = "residual part"
CHANCE = 1e-4  # chance that |R|_F exceeds its bound if R has rank 1; it is 4e-8 for two equal eigenvalues
FITTED = 1e-6  # the largest residual of an exact fit, relative to max(|y|, 1)


@remembered
def nearly_semidefinite(evaluation: Evaluation) -> Perturbation | None:
    """Return bounds on R = H - G, where G is positive semidefinite; None unless R is known to be small; remembered.

    R is the part of H that is weighted by the residuals f - y. It is 0 for a model of one affine layer. It is small at
    an exact fit under mse, where its norm is bounded from products of H and G in float64. Bounds on eigenvalues cannot
    decide that H is semidefinite, as they do not tell zero from slightly negative.
    """
    mlp = structure_of(evaluation.problem)
    if mlp is not None and len(mlp.layers) == 1 and evaluation.problem.loss.factor is not None:
        return Perturbation()
    if not interpolates(evaluation):
        return None
    V = spot_vectors(evaluation, STREAM)
    norm = cautious_norm(evaluation.double_hessian.matmat(V) - evaluation.gauss_newton.matmat(V))
    trace = 0.0 if mlp is not None else math.sqrt(evaluation.problem.num_params) * norm
    return Perturbation(norm, trace, CHANCE, 2 * VECTORS)


@remembered
def interpolates(evaluation: Evaluation) -> bool:
    """Return True where the loss is a squared error and max |f - y| <= 1e-6 max(max |y|, 1) in float64; remembered."""
    problem = evaluation.double
    if not problem.loss.squared:
        return False
    own = max((float(_targets(batch).abs().max()) for batch in problem.own_batches()), default=0.0)
    largest = problem.shard.largest(own, problem.device)
    bound = FITTED * max(largest, 1.0)
    over = sum_over_data(
        problem, lambda batch: ((problem.outputs(problem.theta, batch.x) - _targets(batch)).abs() > bound).sum()
    )
    return float(over) == 0


def _targets(batch: Batch) -> Tensor:
    assert isinstance(batch.y, Tensor)  # a squared error has a number for each output
    return batch.y
