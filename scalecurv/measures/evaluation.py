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

# (problem, kind of terms, seed, blocks of probe ids) -> for each block its rows and the products they took
RunTerms = Callable[[Problem, str, int, Sequence[range]], list[tuple[np.ndarray, int]]]
T = TypeVar("T")
BLOCK = 32  # probes a block: fixed, so that a term does not depend on how many are asked for
TERMS = {"hutchinson": hutchinson.terms}


def run_here(problem: Problem, kind: str, seed: int, blocks: Sequence[range]) -> list[tuple[np.ndarray, int]]:
    """The rows of every block, one after the other in this process, and the products that each took."""
    done = []
    for ids in blocks:
        operator = CountingOperator(HessianOperator(problem))
        done.append((TERMS[kind](operator, seed, ids), operator.num_matvecs))
    return done


class Evaluation:
    """A problem and a seed, with a memory.

    Everything remembered is a pure function of the problem, the seed and the arguments it is filed under:
    asking in another order, or for less, changes no value. `run_terms` is given all missing blocks of probes at
    once: here they run one after the other, elsewhere they may run side by side.
    """

    def __init__(self, problem: Problem, seed: int = 0, run_terms: RunTerms = run_here):
        self.problem = problem
        self.seed = seed
        self.hessian = CountingOperator(HessianOperator(problem))
        self._run_terms = run_terms
        self._memory: dict[Hashable, Any] = {}
        self._term_matvecs = 0

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), or what it returned when it was last asked for under `key`."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

    @property
    def jacobian(self) -> CountingOperator:
        """J in float64, whatever the dtype of the problem: float32 decides no rank."""
        return self.once("jacobian", lambda: CountingOperator(JacobianOperator(self.problem.astype(torch.float64))))

    def terms(self, count: int, kind: str = "hutchinson") -> np.ndarray:
        """The rows of the probes 0 .. count-1, shape (count, ...): (z'Hz, |Hz|^2) where the kind is hutchinson."""
        blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
        missing = [ids for ids in blocks if (kind, ids) not in self._memory]
        for ids, (rows, num_matvecs) in zip(
            missing, self._run_terms(self.problem, kind, self.seed, missing) if missing else [], strict=True
        ):
            self._memory[kind, ids] = rows
            self._term_matvecs += num_matvecs
        return np.concatenate([self._memory[kind, ids] for ids in blocks])

    @property
    def total_matvecs(self) -> int:
        """Products taken so far, each counted once however many values rest on it."""
        total = self.hessian.num_matvecs + self._term_matvecs
        if "jacobian" in self._memory:
            total += self.jacobian.num_matvecs + self.jacobian.num_rmatvecs
        return total
