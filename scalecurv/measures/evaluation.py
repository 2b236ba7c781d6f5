"""The intermediate values of one problem that several measures need, each computed once."""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from scalecurv.linalg import hutchinson
from scalecurv.linalg.counting import CountingOperator, Hear
from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.quantities import SEED

# (operator, seed, probe ids) -> one row for each probe; a pure function, so that any process can compute rows
Terms = Callable[[LinearOperator, int, Sequence[int]], np.ndarray]
# problem -> the operator that probes are multiplied by: a class, as its name can be sent to another process
Make = Callable[[Problem], LinearOperator]
# (problem, make, terms, seed, blocks of probe ids) -> for each block its rows and the products that they took
RunTerms = Callable[[Problem, Make, Terms, int, Sequence[range]], list[tuple[np.ndarray, int]]]
BLOCK = 16  # probes in a block: fixed, so that a term does not depend on how many terms are computed
VECTORS = 6  # of P numbers for each probe: the probe, its product, and what is left of both outside a space


def run_here(
    problem: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range], hear: Hear | None = None
) -> list[tuple[np.ndarray, int]]:
    """Return the rows of every block, computed one after the other in this process, and the products that each took.

    A block is taken in pieces whose vectors fit into half of the problem's memory. `hear` is told of each product.
    """
    size = max(1, problem.memory // 2 // (VECTORS * problem.num_params * problem.dtype.itemsize))
    done = []
    for ids in blocks:
        operator = CountingOperator(make(problem), hear)
        rows = [terms(operator, seed, ids[at : at + size]) for at in range(0, len(ids), size)]
        done.append((rows[0] if len(rows) == 1 else np.concatenate(rows), operator.num_matvecs))
    return done


def blocks_of(count: int) -> list[range]:
    """Return the probes 0 .. count-1 in blocks [0, 4), [4, 8), [8, 16), [16, 32), [32, 48), ..., the last one cut.

    Example:
        >>> blocks_of(20)
        [range(0, 4), range(4, 8), range(8, 16), range(16, 20)]
    """
    bounds = [bound for bound in (0, 4, 8) if bound < count] + list(range(BLOCK, count, BLOCK))
    return [range(*ends) for ends in pairwise([*bounds, count])]


class Evaluation:
    """A problem and a seed, with the operators and the values that measures share: the argument of `Measure.compute`.

    Every shared value is computed once and is a pure function of the problem, the seed and its arguments. No number
    therefore depends on which other measures are computed, nor on their order. `run_terms` computes all missing blocks
    of probes: by default one after the other in this process. `hear` is told the number of products as they are taken,
    all but those of `run_terms`. To try a measure, call its `compute` with `Evaluation(problem)`.

    Example:
        >>> import scalecurv as sc
        >>> evaluation = sc.Evaluation(sc.Problem.quadratic(1.0, 3.0))
        >>> (evaluation.hessian @ evaluation.problem.theta).tolist()  # one product, at theta = 0
        [0.0, 0.0]
        >>> evaluation.total_matvecs
        1
    """

    def __init__(self, problem: Problem, seed: int = SEED, run_terms: RunTerms = run_here, hear: Hear | None = None):
        self.problem = problem
        self.seed = seed
        self.cache: dict[Any, Any] = {}
        self._run_terms, self._hear = run_terms, hear
        self._term_matvecs = 0

    @cached_property
    def double(self) -> Problem:
        """Return the problem in float64, for values that are exact up to rounding."""
        return self.problem.astype(torch.float64)

    @cached_property
    def hessian(self) -> CountingOperator:
        """Return H in the problem's dtype."""
        return CountingOperator(HessianOperator(self.problem), self._hear)

    @cached_property
    def double_hessian(self) -> CountingOperator:
        """Return H in float64."""
        return CountingOperator(HessianOperator(self.double), self._hear)

    @cached_property
    def jacobian(self) -> CountingOperator:
        """Return J in float64, as the rounding of float32 would hide the rank."""
        return CountingOperator(JacobianOperator(self.double), self._hear)

    @cached_property
    def prob_jacobian(self) -> CountingOperator:
        """Return the Jacobian of the softmax of the outputs, in float64."""
        return CountingOperator(JacobianOperator(self.double, prob=True), self._hear)

    @cached_property
    def gauss_newton(self) -> CountingOperator:
        """Return G in float64, as H - G is a difference of nearly equal matrices."""
        return CountingOperator(GaussNewtonOperator(self.double), self._hear)

    @cached_property
    def residual(self) -> CountingOperator:
        """Return R = H - G in float64, each product of which costs two."""
        return CountingOperator(ResidualOperator(self.double), self._hear)

    def terms(
        self,
        count: int,
        terms: Terms = hutchinson.terms,
        make: Make = HessianOperator,
        double: bool = False,
        cache: dict[Any, Any] | None = None,
    ) -> np.ndarray:
        """Return the rows of the probes 0 .. count-1, shape (count, ...); those in the cache are not computed again.

        `terms` computes a row from products with `make(problem)`, by default H; `double` takes them in float64. Rows
        are filed in `cache` under `terms`. Without `cache` that is the cache of the evaluation, which lives as long as
        the problem. A measure whose `terms` no other measure uses gives a dict of its own, to free the rows earlier.
        """
        cache = self.cache if cache is None else cache
        blocks, kind = blocks_of(count), (terms, make, double)
        missing = [ids for ids in blocks if (kind, ids) not in cache]
        problem = self.double if double else self.problem
        done = self._run_terms(problem, make, terms, self.seed, missing) if missing else []
        for ids, (rows, num_matvecs) in zip(missing, done, strict=True):
            cache[kind, ids] = rows
            self._term_matvecs += num_matvecs
        return np.concatenate([cache[kind, ids] for ids in blocks])

    @property
    def total_matvecs(self) -> int:
        """Return the number of products taken so far, each counted once even if several values rest on it."""
        counting = (made for made in vars(self).values() if isinstance(made, CountingOperator))
        return self._term_matvecs + sum(operator.num_matvecs + operator.num_rmatvecs for operator in counting)
