"""One problem under evaluation: the intermediates that several measures need, each computed once."""

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch

from scalecurv.linalg import hutchinson
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem

# (operator, seed, probe ids) -> one row a probe; a pure function, so that rows can be computed anywhere
Terms = Callable[[LinearOperator, int, Sequence[int]], np.ndarray]
# problem -> what products are taken of: a class, so that it can be named to another process
Make = Callable[[Problem], LinearOperator]
# (problem, make, terms, seed, blocks of probe ids) -> for each block its rows and the products they took
RunTerms = Callable[[Problem, Make, Terms, int, Sequence[range]], list[tuple[np.ndarray, int]]]
T = TypeVar("T")
BLOCK = 32  # probes a block: fixed, so that a term does not depend on how many are asked for


def run_here(
    problem: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
) -> list[tuple[np.ndarray, int]]:
    """The rows of every block, one after the other in this process, and the products that each took."""
    done = []
    for ids in blocks:
        operator = CountingOperator(make(problem))
        done.append((terms(operator, seed, ids), operator.num_matvecs))
    return done


def blocks_of(count: int) -> list[range]:
    """The probes 0 .. count-1 as [0, 4), [4, 8), [8, 16), [16, 32), [32, 64), [64, 96), ..., the last one cut."""
    bounds = [bound for bound in (0, 4, 8, 16) if bound < count] + list(range(BLOCK, count, BLOCK))
    return [range(*ends) for ends in pairwise([*bounds, count])]


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
    def double(self) -> Problem:
        """The problem in float64: where structure is exact, rounding should not be what is left."""
        return self.once("double", lambda: self.problem.astype(torch.float64))

    @property
    def jacobian(self) -> CountingOperator:
        """J in float64, whatever the dtype of the problem: float32 decides no rank."""
        return self.once("jacobian", lambda: CountingOperator(JacobianOperator(self.double)))

    @property
    def prob_jacobian(self) -> CountingOperator:
        """That of the softmax of the outputs."""
        return self.once("prob jacobian", lambda: CountingOperator(JacobianOperator(self.double, prob=True)))

    @property
    def double_hessian(self) -> CountingOperator:
        """H in float64, to check a product of the problem's own dtype against."""
        return self.once("double hessian", lambda: CountingOperator(HessianOperator(self.double)))

    @property
    def gauss_newton(self) -> CountingOperator:
        """G in float64: H - G is a difference of much that is alike."""
        return self.once("double gauss-newton", lambda: CountingOperator(GaussNewtonOperator(self.double)))

    @property
    def residual(self) -> CountingOperator:
        """R = H - G in float64, two products each."""
        return self.once("double residual", lambda: CountingOperator(ResidualOperator(self.double)))

    def terms(
        self,
        count: int,
        terms: Terms = hutchinson.terms,
        name: Hashable = "hutchinson",
        make: Make = HessianOperator,
        double: bool = False,
    ) -> np.ndarray:
        """The rows of the probes 0 .. count-1, shape (count, ...), remembered under the `name` of these terms.

        `make` says what is multiplied by, H unless told otherwise; `double` takes the products in float64.
        """
        blocks = blocks_of(count)
        missing = [ids for ids in blocks if (name, ids) not in self._memory]
        problem = self.double if double else self.problem
        done = self._run_terms(problem, make, terms, self.seed, missing) if missing else []
        for ids, (rows, num_matvecs) in zip(missing, done, strict=True):
            self._memory[name, ids] = rows
            self._term_matvecs += num_matvecs
        return np.concatenate([self._memory[name, ids] for ids in blocks])

    @property
    def total_matvecs(self) -> int:
        """Products taken so far, each counted once however many values rest on it."""
        total = self.hessian.num_matvecs + self._term_matvecs
        for name in ("jacobian", "prob jacobian", "double hessian", "double gauss-newton", "double residual"):
            if name in self._memory:
                total += self._memory[name].num_matvecs + self._memory[name].num_rmatvecs
        return total
