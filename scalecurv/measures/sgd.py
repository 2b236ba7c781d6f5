"""The stability of SGD in mean square, and the curvature that its mini-batches see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import ClassVar

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.measures.batch_sharpness import batch_sharpness
from scalecurv.measures.cost import MeasureCost
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, RoutedMeasure
from scalecurv.measures.stability import threshold
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate

SIZES = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Sgd(RoutedMeasure):
    """The stability of SGD in mean square by batch size, and the curvature of mini-batches along their gradients.

    sgd_threshold: a lower bound on 2 / eta*, eta* the largest step size at which SGD with mini-batches of B samples,
        drawn without replacement, is stable in mean square at an interpolating minimum of a quadratic loss. With
        q = (N - B) / (B (N - 1)), H_i the Hessian of a sample and any symmetric V,

            2 / eta* >= [(1 - q) <V, HVH> + q E<V, H_i V H_i>] / <V, HV>,

        and the largest over V = UXU', U the six top Ritz vectors of H, and V = I is given. V = I is left out where
        H is indefinite. (Wu, Ma and E 2018; Ma and Ying 2021, arXiv 2105.13462; Wu, Wang and Su 2022, arXiv 2207.02628)
    batch_sharpness: E g_b'H_b g_b / E|g_b|^2 over mini-batches b. (Andreyev and Beneventano 2024, arXiv 2412.20553)

    Both have the unit of H and are given for each of `sgd_batches` that is at most N, in components "batch=4"; the
    whole model's number is that of the first. The loss of a mini-batch is the mean of N c loss_i over it. Products are
    in float64: those of T, F and the Ritz vectors are shared with other measures, and `max_matvecs` products with
    mini-batches come on top.

    Raises Misuse where a batch size is no positive integer or comes twice, and for samples that are spread over ranks.

    Example:
        >>> import scalecurv as sc
        >>> problem = sc.Problem.quadratic(2.0, 4.0)  # each of two samples bends one direction, twice as much
        >>> found = Sgd(sgd_batches=(1, 2)).compute(sc.Evaluation(problem))
        >>> for name, estimate in found.parts.items():
        ...     print(*name, estimate)
        sgd_threshold batch=1 >= 8
        sgd_threshold batch=2 >= 4
        batch_sharpness batch=1 not applicable
        batch_sharpness batch=2 not applicable
    """

    sgd_batches: tuple[int, ...] = SIZES

    name: ClassVar[str] = "sgd"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("sgd_threshold", "batch_sharpness")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.sgd_batches
        whole = isinstance(given, Sequence) and not isinstance(given, str) and len(given) > 0
        if not whole or any(isinstance(size, bool) or not isinstance(size, Integral) or size < 1 for size in given):
            raise Misuse(f"sgd_batches is {given!r}; give batch sizes, such as (1, 16, 256)")
        sizes = tuple(map(int, given))
        if twice := next((size for size in sizes if sizes.count(size) > 1), None):
            raise Misuse(f"sgd_batches has {twice} twice; give each batch size once")
        object.__setattr__(self, "sgd_batches", sizes)  # a tuple, also from a list

    def check(self, problem: Problem) -> None:
        super().check(problem)
        problem.shard.refuse("measure sgd")

    def cost(self, problem: Problem) -> MeasureCost:
        return replace(super().cost(problem), own=self.max_matvecs)

    def compute(self, evaluation: Evaluation) -> Findings:
        N = evaluation.problem.num_data
        sizes = tuple(size for size in self.sgd_batches if size <= N) or (N,)
        limit = max(3, self.max_matvecs // len(sizes))
        try:
            bounds = {B: threshold(evaluation, self.strategy, B) for B in sizes}
        except CheckpointError as error:  # a third derivative is needed here only: all other numbers stand
            bounds = dict.fromkeys(sizes, Estimate.failed(str(error)))
        found = {
            "sgd_threshold": bounds,
            "batch_sharpness": {B: batch_sharpness(evaluation, B, self.rtol, limit) for B in sizes},
        }
        parts = {(name, f"batch={B}"): e for name, each in found.items() for B, e in each.items()}
        return Findings({name: each[sizes[0]] for name, each in found.items()}, parts=parts)
