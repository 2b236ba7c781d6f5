"""H written out, where it has so few rows that this costs less than sampling: every number of it, up to rounding."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.inner import norms
from scalecurv.linalg.krylov.extremes import NEAR_ZERO, NOISE, Ends
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.noise import STREAM, SWEEPS, ULPS, VISIBLE, Rounding, cancelled, rounding, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.operators.shape_operator import ShapeOperator
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import caution
from scalecurv.statistics.stopping import Tolerance

COLUMNS = 64  # unit vectors a block
SYMMETRIC = 1e-8  # |A - A'|_F of |A|_F: ten thousand times what rounding leaves, a hundredth of what a mistake does
SHARE = 0.1  # of sum |lambda_i|: a trace below it is asked for to rtol of that


@dataclass(frozen=True, eq=False)
class Dense:
    """A symmetric P x P `matrix` in float64, what rounding may have added to it, and the products that it took.

    Ulps are those of `size`, a bound on the norm of what it was made of: its own norm where that is None.
    """

    matrix: Tensor
    noise: Rounding
    method: str
    num_matvecs: int
    size: float | None = None

    @cached_property
    def space(self) -> RitzSpace:
        """The whole of R^P as a Ritz space, in which nothing is left out; its Ritz values are all eigenvalues."""
        P = len(self.matrix)
        eye = torch.eye(P, dtype=torch.float64, device=self.matrix.device)
        return RitzSpace(eye, self.matrix.cpu().numpy(), np.zeros(P), eye.new_zeros(P), self.num_matvecs)

    @property
    def values(self) -> np.ndarray:
        """All eigenvalues, ascending, shape (P,)."""
        return self.space.values

    @property
    def norm(self) -> float:
        return float(np.abs(self.values).max())

    @property
    def operator(self) -> DenseOperator:
        return DenseOperator(self.matrix, symmetric=True)

    def trace(self, rtol: float, rows: slice = slice(None)) -> Estimate:
        """The trace of the block of these rows, the whole unless told otherwise."""
        floor = SHARE * float(np.abs(self.values).sum()) if self.noise.norm else 0.0
        return self.estimate(float(self.matrix.diagonal()[rows].sum()), self.noise.trace, Tolerance(rtol, floor))

    def square(self, rtol: float, rows: slice = slice(None)) -> Estimate:
        """The squared Frobenius norm of these rows."""
        value = float((self.matrix[rows] ** 2).sum())
        return self.estimate(value, self.noise.of_square(value), Tolerance(rtol))

    def ends(self, rtol: float) -> Ends:
        """The largest and the smallest eigenvalue."""
        return Ends(self.eigenvalue(-1, rtol), self.eigenvalue(0, rtol))

    def eigenvalue(self, rank: int, rtol: float) -> Estimate:
        """That at this index of all, ascending: exact but where ulps, LAPACK's error, show in it."""
        found = self.estimate(float(self.values[rank]), self.noise.norm, Tolerance(rtol, NEAR_ZERO * self.norm))
        return cancelled(found, self.norm if self.size is None else self.size)

    def estimate(self, value: float, slack: float, tolerance: Tolerance) -> Estimate:
        """A number of this matrix, off by at most `slack` on account of the noise: exact where there is none."""
        found = Estimate.exact(value, self.method, self.num_matvecs)
        if not slack or found.status is Status.FAILED:
            return found
        found = replace(found, confidence=1 - NOISE, status=Status.BUDGET).widened(slack)
        return tolerance.settle(found, Status.CERTIFIED)


def dense_hessian(evaluation: Evaluation) -> Dense:
    """H from P products in float64, remembered."""
    return evaluation.once(
        "dense hessian", lambda: _dense("H", evaluation, evaluation.double_hessian, rounding_in_double(evaluation))
    )


def dense_gauss_newton(evaluation: Evaluation) -> Dense:
    """G from P products of its own, remembered; without noise but where the loss is known by autograd alone."""

    def compute() -> Dense:
        noise = rounding_in_double(evaluation) if evaluation.problem.loss.foreign else Rounding()
        return _dense("G", evaluation, evaluation.gauss_newton, noise)

    return evaluation.once("dense gauss-newton", compute)


def dense_shape_operator(evaluation: Evaluation) -> Dense:
    """sqrt(beta) G^(-1/2) H G^(-1/2) with G = I + gg', from H written out, without a further product; remembered."""

    def compute() -> Dense:
        H = dense_hessian(evaluation)
        A = ShapeOperator(H.operator, gradient_facts(evaluation, double=True).gradient)
        matrix = A.matmat(H.space.basis)
        noise = Rounding(A.root * H.noise.norm, A.root * (H.noise.trace + H.noise.norm))
        method = f"shape operator of {H.method}"
        return Dense((matrix + matrix.T) / 2, noise, method, H.num_matvecs, A.root * H.norm)

    return evaluation.once("dense shape operator", compute)


def noise_of(evaluation: Evaluation, strategy: Strategy) -> Rounding:
    """What rounding adds to the products of this strategy: those that write H out are in float64, whatever the dtype.

    They have paid for it, too.
    """
    taken = strategy.dense_is_taken(evaluation.problem)
    return replace(dense_hessian(evaluation).noise, num_matvecs=0) if taken else rounding(evaluation)


def _dense(name: str, evaluation: Evaluation, operator: LinearOperator, noise: Rounding) -> Dense:
    """Raises CheckpointError where the matrix is not symmetric, rounding allowed for."""
    matrix = _written_out(operator)
    size, apart = float(matrix.norm()), float((matrix - matrix.T).norm())
    if apart > VISIBLE * size and not noise.norm:  # what it is made of may cancel, down to nothing
        noise = _of_outputs(evaluation)
    if apart > SYMMETRIC * size + 2 * noise.norm:
        raise CheckpointError(
            f"{name} is not symmetric: |{name} - {name}'| is {apart / size:.2g} of |{name}| where all of it is written "
            f"out, so that second derivatives are wrong somewhere in the model or the loss; no number rests on them"
        )
    P = len(matrix)
    return Dense((matrix + matrix.T) / 2, noise, f"{name} written out, {P} products", P + noise.num_matvecs)


def _of_outputs(evaluation: Evaluation) -> Rounding:
    """What ulps of the loss's second derivative in the outputs make of c J'MJ, as where a softmax saturates."""
    problem = evaluation.problem
    rows = problem.num_data * problem.num_outputs
    V = probes(rows, evaluation.seed, STREAM, range(SWEEPS), "gaussian", device=problem.device)
    largest = caution(NOISE, SWEEPS) * float(norms(evaluation.jacobian.rmatmat(V)).max())
    norm = ULPS * torch.finfo(torch.float64).eps * problem.scale * largest**2
    return Rounding(norm, norm, num_matvecs=SWEEPS)


def _written_out(operator: LinearOperator) -> Tensor:
    """The matrix, a block of unit vectors at a time."""
    P = operator.shape[0]
    matrix = torch.empty(P, P, dtype=torch.float64, device=operator.device)
    for start in range(0, P, COLUMNS):
        width = min(COLUMNS, P - start)
        units = matrix.new_zeros(P, width)
        units[range(start, start + width), range(width)] = 1.0
        matrix[:, start : start + width] = operator.matmat(units)
    return matrix
