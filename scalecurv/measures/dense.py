"""H, G and the shape operator as matrices, where P is so small that P products cost no more than sampling."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.extremes import NEAR_ZERO, NOISE, Ends
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.noise import VISIBLE, Perturbation, cancelled, rounding, rounding_in_double, ulps_of_outputs
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance

COLUMNS = 64  # unit vectors multiplied at once
SYMMETRIC = 1e-8  # |A - A'|_F / |A|_F: ten thousand times what rounding leaves, a hundredth of what a mistake does
SHARE = 0.1  # a trace smaller than this share of sum |lambda_i| is wanted to rtol of the share


@dataclass(frozen=True, eq=False)
class Dense:
    """A symmetric P x P matrix in float64, written out from products.

    matrix: shape (P, P).
    noise: bounds on what rounding added to the matrix.
    method: the method of all estimates from it.
    num_matvecs: the number of products that it took.
    size: a bound on the norm of the matrices that it was computed from, to which rounding is proportional; None stands
        for the norm of the matrix itself.
    """

    matrix: Tensor
    noise: Perturbation
    method: str
    num_matvecs: int
    size: float | None = None

    @cached_property
    def space(self) -> RitzSpace:
        """Return R^P as a Ritz space, whose Ritz values are all eigenvalues."""
        P = len(self.matrix)
        eye = torch.eye(P, dtype=torch.float64, device=self.matrix.device)
        return RitzSpace(eye, self.matrix.cpu().numpy(), np.zeros(P), eye.new_zeros(P), self.num_matvecs)

    @property
    def values(self) -> np.ndarray:
        """Return all eigenvalues, ascending, shape (P,)."""
        return self.space.values

    @property
    def norm(self) -> float:
        """Return the spectral norm, max |lambda_i|."""
        return float(np.abs(self.values).max())

    @property
    def operator(self) -> DenseOperator:
        """Return the matrix as a LinearOperator."""
        return DenseOperator(self.matrix, symmetric=True)

    def trace(self, rtol: float, rows: slice = slice(None)) -> Estimate:
        """Return the trace of the diagonal block of these rows, by default of the whole matrix."""
        floor = SHARE * float(np.abs(self.values).sum()) if self.noise.norm else 0.0
        return self.estimate(float(self.matrix.diagonal()[rows].sum()), self.noise.trace, Tolerance(rtol, floor))

    def square(self, rtol: float, rows: slice = slice(None)) -> Estimate:
        """Return the squared Frobenius norm of these rows, by default of the whole matrix."""
        value = float((self.matrix[rows] ** 2).sum())
        return self.estimate(value, self.noise.of_square(value), Tolerance(rtol))

    def ends(self, rtol: float) -> Ends:
        """Return the largest and the smallest eigenvalue."""
        return Ends(self.eigenvalue(-1, rtol), self.eigenvalue(0, rtol))

    def eigenvalue(self, rank: int, rtol: float) -> Estimate:
        """Return the eigenvalue at this index of all in ascending order.

        Without noise it is exact, or certified where the error of LAPACK, ulps of the norm, is visible beside it.
        """
        found = self.estimate(float(self.values[rank]), self.noise.norm, Tolerance(rtol, NEAR_ZERO * self.norm))
        return cancelled(found, self.norm if self.size is None else self.size)

    def estimate(self, value: float, slack: float, tolerance: Tolerance) -> Estimate:
        """Return the estimate of a number of this matrix that noise moves by at most `slack`: exact if `slack` is 0."""
        found = Estimate.exact(value, self.method, self.num_matvecs)
        if not slack or found.status is Status.FAILED:
            return found
        found = replace(found, confidence=1 - NOISE, status=Status.BUDGET).widened(slack)
        return tolerance.settle(found, Status.CERTIFIED)


@remembered
def dense_hessian(evaluation: Evaluation) -> Dense:
    """Return H from P products in float64; remembered. Raises CheckpointError where it is not symmetric."""
    return _dense("H", evaluation, evaluation.double_hessian, rounding_in_double(evaluation))


@remembered
def dense_gauss_newton(evaluation: Evaluation) -> Dense:
    """Return G = J'MJ from P products of its own; remembered. Raises CheckpointError where it is not symmetric.

    Its factors do not cancel, so that it has noise only where the loss is user code, known by autograd alone.
    """
    noise = rounding_in_double(evaluation) if evaluation.problem.loss.foreign else Perturbation()
    return _dense("G", evaluation, evaluation.gauss_newton, noise)


@remembered
def dense_shape_operator(evaluation: Evaluation) -> Dense:
    """Return A = sqrt(beta) G^(-1/2) H G^(-1/2) where G = I + gg'; remembered.

    It is computed from H written out, without a further product.
    """
    H = dense_hessian(evaluation)
    A = ShapeOperator(H.operator, gradient_facts(evaluation, double=True).gradient)
    matrix = A.matmat(H.space.basis)
    noise = Perturbation(A.root * H.noise.norm, A.root * (H.noise.trace + H.noise.norm), H.noise.chance)
    method = f"shape operator of {H.method}"
    return Dense((matrix + matrix.T) / 2, noise, method, H.num_matvecs, A.root * H.norm)


def noise_of(evaluation: Evaluation, strategy: Strategy) -> Perturbation:
    """Return bounds on what rounding adds to the products of this strategy.

    Where the strategy writes H out, the products are in float64 whatever the dtype of the problem, and the bounds cost
    nothing further.
    """
    dense = strategy.dense_is_taken(evaluation.problem)
    return replace(dense_hessian(evaluation).noise, num_matvecs=0) if dense else rounding(evaluation)


def _dense(name: str, evaluation: Evaluation, operator: LinearOperator, noise: Perturbation) -> Dense:
    """Return the symmetric part of an operator; raise CheckpointError where it is not symmetric up to rounding."""
    matrix = _written_out(operator)
    size, apart = float(matrix.norm()), float((matrix - matrix.T).norm())
    if apart > VISIBLE * size and not noise.norm:  # the sum over samples may cancel, even to nothing
        noise = ulps_of_outputs(evaluation)
    if apart > SYMMETRIC * size + 2 * noise.norm:
        raise CheckpointError(
            f"{name} is not symmetric: |{name} - {name}'| is {apart / size:.2g} of |{name}| where all of it is written "
            f"out, so that second derivatives are wrong somewhere in the model or the loss; no number rests on them"
        )
    P = len(matrix)
    return Dense((matrix + matrix.T) / 2, noise, f"{name} written out, {P} products", P + noise.num_matvecs)


def _written_out(operator: LinearOperator) -> Tensor:
    """Return the matrix of an operator, shape (P, P), from products with COLUMNS unit vectors at a time."""
    P = operator.shape[0]
    matrix = torch.empty(P, P, dtype=torch.float64, device=operator.device)
    for start in range(0, P, COLUMNS):
        width = min(COLUMNS, P - start)
        units = matrix.new_zeros(P, width)
        units[range(start, start + width), range(width)] = 1.0
        matrix[:, start : start + width] = operator.matmat(units)
    return matrix
