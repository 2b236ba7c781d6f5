"""One problem under evaluation: the intermediates that several measures need, each computed once."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from scalecurv.curvature.hessian import HessianOperator
from scalecurv.curvature.jacobian import JacobianOperator
from scalecurv.curvature.problem import Problem
from scalecurv.linalg import hutchinson
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.operator import LinearOperator

RunTerms = Callable[[LinearOperator, int, Sequence[int]], np.ndarray]
T = TypeVar("T")
BLOCK = 32  # probes a block: fixed, so that a term does not depend on how many are asked for


class Evaluation:
    """A problem and a seed, with a memory.

    Everything remembered is a pure function of the problem, the seed and the arguments it is filed under:
    asking in another order, or for less, changes no value. `run_terms` computes the rows of given probe ids,
    in place by default; blocks of them may as well be computed elsewhere.
    """

    def __init__(self, problem: Problem, seed: int = 0, run_terms: RunTerms = hutchinson.terms):
        self.problem = problem
        self.seed = seed
        self.hessian = CountingOperator(HessianOperator(problem))
        self._run_terms = run_terms
        self._memory: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), or what it returned when it was last asked for under `key`."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

    @property
    def jacobian(self) -> CountingOperator:
        """J in float64, whatever the dtype of the problem: float32 decides no rank."""
        return self.once("jacobian", lambda: CountingOperator(JacobianOperator(self.problem.astype(torch.float64))))

    def terms(self, count: int) -> np.ndarray:
        """Hutchinson rows (z'Hz, |Hz|^2) of the probes 0 .. count-1, shape (count, 2)."""
        blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
        return np.concatenate([self._rows(ids) for ids in blocks])

    def _rows(self, ids: range) -> np.ndarray:
        return self.once(ids, lambda: self._run_terms(self.hessian, self.seed, ids))

    @property
    def total_matvecs(self) -> int:
        """Products taken so far, each counted once however many values rest on it."""
        total = self.hessian.num_matvecs
        if "jacobian" in self._memory:
            total += self.jacobian.num_matvecs + self.jacobian.num_rmatvecs
        return total
