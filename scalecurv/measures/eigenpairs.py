"""The outermost eigenpairs of the Hessian: certified eigenvalues, eigenvectors, and how far each pair is from one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from scalecurv.display import html_table
from scalecurv.errors import Misuse
from scalecurv.linalg.inner import norms
from scalecurv.linalg.krylov.eigenpairs import outermost_eigenpairs, room_for
from scalecurv.linalg.krylov.enclosed import Which
from scalecurv.linalg.krylov.extremes import NEAR_ZERO
from scalecurv.linalg.krylov.in_size import in_size
from scalecurv.linalg.operator import LinearOperator
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import CANCELLING, rounding
from scalecurv.measures.route import MAX_LANCZOS, Strategy, dense_bytes
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate
from scalecurv.statistics.stopping import Tolerance

TOGETHER = 3  # spaces of basis vectors that a run holds at once
BESIDE = 12  # vectors beside them: residuals, products
CHECKED = 16  # products beyond k for which a run has use


@dataclass(frozen=True, eq=False, repr=False)
class EigenPairs:
    """The k outermost eigenpairs of H, from the outermost inwards; iterating gives pairs (Estimate, vector (P,)).

    values: the eigenvalues, in units of H. Each interval holds the eigenvalue of that rank; for "LM" two of opposite
        sign may have changed places where the intervals of their sizes overlap.
    vectors: shape (P, k), orthonormal columns in the dtype of the problem.
    residuals: the norms |H v - lambda v|, shape (k,), measured by products in float64. H has an
        eigenvalue no further from each value than its residual.
    which: "LA", "SA" or "LM".
    confidence: the probability that all intervals hold at once.
    num_matvecs: the number of Hessian products that all of it took.
    """

    values: tuple[Estimate, ...]
    vectors: Tensor
    residuals: np.ndarray
    which: Which
    confidence: float
    num_matvecs: int

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rank: int) -> tuple[Estimate, Tensor]:
        return self.values[rank], self.vectors[:, rank]

    def __iter__(self) -> Iterator[tuple[Estimate, Tensor]]:
        return (self[rank] for rank in range(len(self)))

    @property
    def _title(self) -> str:
        count, size = len(self), len(self.vectors)
        return f"{count} of {size:,}, {self.which}, {100 * self.confidence:.6g} % for all, {self.num_matvecs} products"

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        shown = zip(self.values, self.residuals, strict=True)
        return [(str(i), str(v), f"{r:.1e}", str(v.status)) for i, (v, r) in enumerate(shown, 1)]

    def __repr__(self) -> str:
        return f"EigenPairs({self._title})"

    def __str__(self) -> str:
        rows = [("", "eigenvalue", "residual", "status"), *self._rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        return html_table(f"EigenPairs: {self._title}", self._rows, ("", "eigenvalue", "residual", "status"))


@remembered
def eigenpairs_of(evaluation: Evaluation, k: int, which: Which, strategy: Strategy) -> EigenPairs:
    """Return the k outermost eigenpairs of H; remembered.

    They come from H written out where the strategy allows it, else from Lanczos runs within its products and memory.
    Raises Misuse where `check_request` does.
    """
    return eigenpairs_beside(evaluation, k, which, strategy, None)


def eigenpairs_beside(
    evaluation: Evaluation, k: int, which: Which, strategy: Strategy, warm: Tensor | None
) -> EigenPairs:
    """Return the pairs of `eigenpairs_of`, from a search that starts in the span of `warm` (P, j); not remembered.

    Raises Misuse where `check_request` does, and where `warm` is no block of P rows of finite numbers.
    """
    problem = evaluation.problem
    check_request(problem, k, which, strategy)
    if warm is not None:
        _check_warm(warm, problem.num_params)
    if strategy.dense_is_taken(problem):
        return _from_matrix(evaluation, k, which, strategy.rtol)
    return _from_runs(evaluation, k, which, strategy, warm)


def _check_warm(warm: Tensor, P: int) -> None:
    if not isinstance(warm, Tensor) or warm.ndim != 2 or len(warm) != P:
        came = (
            f"a tensor of shape {tuple(warm.shape)}" if isinstance(warm, Tensor) else f"of type {type(warm).__name__}"
        )
        raise Misuse(f"warm is {came}; give the result of eigenpairs, or vectors of shape ({P}, j), one a column")
    if not warm.is_floating_point() or not bool(torch.isfinite(warm).all()):
        raise Misuse("warm holds values that are no finite real numbers; give vectors without NaN, or leave it out")


def check_request(problem: Problem, k: int, which: Which, strategy: Strategy) -> None:
    """Raise Misuse where there are no such pairs, or too few products or bytes for them; takes no product."""
    P = problem.num_params
    if which not in get_args(Which):
        known = "'LA' (largest), 'SA' (smallest) and 'LM' (largest in size)"
        raise Misuse(f"which is {which!r}; it is one of {known}")
    if not isinstance(k, Integral) or not 1 <= k <= P:
        raise Misuse(f"k is {k!r}; H is {P} x {P} and has {P} eigenpairs: give a whole number from 1 to {P}")
    if not 0 <= strategy.rtol < math.inf:
        raise Misuse(f"rtol is {strategy.rtol}; it must be at least 0 and finite")
    if strategy.dense_is_taken(problem):
        return
    dense = dense_bytes(P) <= strategy.memory  # where H would be written out with more products
    least = min(2 * k + CHECKED, P) if dense else 2 * k + CHECKED
    if strategy.max_matvecs < least:
        raise Misuse(
            f"{k} eigenpairs of {P} parameters take at least {least} products, and max_matvecs is "
            f"{strategy.max_matvecs}; give max_matvecs={least} or more"
        )
    size = (TOGETHER * min(room_for(k), P) + k + BESIDE) * P * problem.dtype.itemsize
    if strategy.memory < size:
        raise Misuse(
            f"{k} eigenpairs of {P} parameters need {size} bytes, and memory is {strategy.memory}; give memory={size}"
        )


def _from_matrix(evaluation: Evaluation, k: int, which: Which, rtol: float) -> EigenPairs:
    H = dense_hessian(evaluation)
    P = len(H.values)
    if which == "LM":
        tops = [H.eigenvalue(P - 1 - i, rtol) for i in range(k)]
        bottoms = [H.eigenvalue(i, rtol) for i in range(k)]
        chosen = in_size(tops, bottoms, Tolerance(rtol, NEAR_ZERO * H.norm), CANCELLING * H.norm)
        values, places = tuple(e for e, _ in chosen), [P - 1 - i if i >= 0 else -1 - i for _, i in chosen]
    else:
        places = [P - 1 - i if which == "LA" else i for i in range(k)]
        values = tuple(H.eigenvalue(place, rtol) for place in places)
    V = H.space.narrowed(np.array(places)).basis.to(evaluation.problem.dtype)
    confidence = min(value.confidence for value in values)  # one bound on the noise serves all
    return EigenPairs(values, V, _residuals(H.operator, values, V), which, confidence, H.num_matvecs)


def _from_runs(evaluation: Evaluation, k: int, which: Which, strategy: Strategy, warm: Tensor | None) -> EigenPairs:
    problem, noise = evaluation.problem, rounding(evaluation)
    fit = strategy.memory // (problem.num_params * problem.dtype.itemsize)
    vectors = min(max(MAX_LANCZOS, room_for(k)), (fit - k - BESIDE) // TOGETHER)
    most = strategy.max_matvecs - k - noise.num_matvecs  # residuals take k
    found = outermost_eigenpairs(
        evaluation.hessian, k, which, evaluation.seed, strategy.rtol, most, vectors, noise.norm, warm
    )
    spent = found.num_matvecs + noise.num_matvecs
    values = tuple(replace(value, num_matvecs=spent) for value in found.values)
    residuals = _residuals(evaluation.double_hessian, values, found.vectors)
    return EigenPairs(values, found.vectors, residuals, which, found.confidence, spent + k)


def _residuals(H: LinearOperator, values: tuple[Estimate, ...], V: Tensor) -> np.ndarray:
    """Return the norms |H v - lambda v| of the columns of V (P, k), shape (k,)."""
    lambdas = torch.tensor([value.value for value in values], dtype=torch.float64, device=V.device)
    return norms(H.matmat(V.double()) - V.double() * lambdas).cpu().numpy()
