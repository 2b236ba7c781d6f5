"""The largest and the smallest eigenvalue of the Hessian, each with a two-sided certificate."""

from dataclasses import dataclass, field
from typing import ClassVar

from scalecurv.errors import Misuse
from scalecurv.machine import default_memory
from scalecurv.measures.cost import POINT, MeasureCost, bytes_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.route import MAX_LANCZOS, Strategy
from scalecurv.measures.sampled_ends import PRODUCTS, spectrum_ends
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS, RTOL


@dataclass(frozen=True)
class Extremes(Measure):
    """The largest eigenvalue lambda_max and the smallest eigenvalue lambda_min of H, in units of H.

    Where H is written out (`route` None or "dense", see `Strategy`) both are known up to rounding. Elsewhere they come
    from one Lanczos run: the Ritz value bounds an eigenvalue from inside the spectrum and the Lanczos polynomial from
    outside. The run restarts where `memory` bytes hold too few vectors. It takes at most `max_matvecs` products.

    With `from_samples` the run is one on so many samples, and six products with H follow: see `sampled_ends`. The outer
    end of each interval is then statistical, and there are no arrays. From that many samples of the data on, or more,
    the option changes nothing.

    Arrays: `ritz_values`; `ritz_residuals`, within which of each Ritz value an eigenvalue lies; and `ritz_weights`,
    the squared components of the start vector, for a run without restarts. Where H is written out the Ritz values are
    all eigenvalues.
    """

    rtol: float = RTOL
    max_matvecs: int = MAX_MATVECS
    memory: int = field(default_factory=default_memory)
    route: str | None = None
    from_samples: int | None = None

    name: ClassVar[str] = "extremes"
    version: ClassVar[int] = 6
    quantities: ClassVar[tuple[str, ...]] = ("lambda_max", "lambda_min")

    def cost(self, problem: Problem) -> MeasureCost:
        size = bytes_of(problem, self.strategy)
        if self.strategy.dense_is_taken(problem):
            return MeasureCost(written_out=problem.num_params, bytes=size)
        if self.strategy.sample_of(problem) is not None:
            return MeasureCost(own=PRODUCTS, bytes=size)
        return MeasureCost(shared=min(self.max_matvecs, POINT + MAX_LANCZOS), bytes=size)

    @property
    def strategy(self) -> Strategy:
        return Strategy(self.rtol, self.max_matvecs, self.memory, self.route, self.from_samples)

    def check(self, problem: Problem) -> None:
        try:
            self.strategy.dense_is_taken(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error

    def compute(self, evaluation: Evaluation) -> Findings:
        if self.strategy.sample_of(evaluation.problem) is not None:
            ends = spectrum_ends(evaluation, self.strategy)
            return Findings({"lambda_max": ends.largest, "lambda_min": ends.smallest})
        found = krylov_run(evaluation, self.strategy)
        arrays = {"ritz_values": found.space.values, "ritz_residuals": found.space.residuals}
        if found.run is not None:
            arrays["ritz_weights"] = found.run.quadrature.weights
        return Findings({"lambda_max": found.ends.largest, "lambda_min": found.ends.smallest}, arrays)
