"""The spectral density of the Hessian as Gauss rules: nodes and weights, without smoothing."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

from scalecurv.errors import Misuse
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.probes import probes
from scalecurv.machine import default_memory
from scalecurv.measures.cost import MeasureCost, bytes_of
from scalecurv.measures.dense import dense_hessian
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.route import Budget, Strategy
from scalecurv.problem.problem import Problem
from scalecurv.quantities import MAX_MATVECS

STREAM = "spectrum start"
EVERY = -1.0  # in `ritz_starts`, where the nodes are all eigenvalues and come from no run


@dataclass(frozen=True)
class Spectrum(Measure):
    """The spectral density phi(t) = (1/P) sum_i delta(t - lambda_i) of H, from `num_starts` Lanczos runs of one length.

    Arrays of equal length: `ritz_nodes`, in units of H; `ritz_weights`, which sum to 1; and `ritz_starts`, the number
    of the run that a node comes from. sum_j weights[j] f(nodes[j]) estimates tr f(H) / P. Where H is written out
    (`route` None or "dense", see `Strategy`) the nodes are all eigenvalues, each of weight 1/P, and `ritz_starts` is
    -1. (Ubaru, Chen and Saad 2017)
    """

    num_starts: int = 4
    max_matvecs: int = MAX_MATVECS
    memory: int = field(default_factory=default_memory)
    route: str | None = None

    name: ClassVar[str] = "spectrum"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = ()

    def cost(self, problem: Problem) -> MeasureCost:
        size = bytes_of(problem, self.strategy)
        if self.strategy.dense_is_taken(problem):
            return MeasureCost(written_out=problem.num_params, bytes=size)
        return MeasureCost(own=self.max_matvecs, bytes=size)

    @property
    def strategy(self) -> Strategy:
        return Strategy(0.0, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        try:
            self.strategy.dense_is_taken(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error

    def compute(self, evaluation: Evaluation) -> Findings:
        if self.strategy.dense_is_taken(evaluation.problem):
            return _every(dense_hessian(evaluation).values)
        H, problem = evaluation.hessian, evaluation.problem
        vector_bytes = problem.num_params * problem.dtype.itemsize
        steps = min(
            Budget(self.max_matvecs).lanczos,
            max(2, self.memory // vector_bytes),
            max(1, self.max_matvecs // self.num_starts),
        )
        nodes, weights, starts = [], [], []
        for i in range(self.num_starts):
            start = probes(H.shape[0], evaluation.seed, STREAM, [i], "gaussian", torch.float64)[:, 0].to(H.device)
            rule = lanczos(H, start, steps).quadrature
            nodes.append(rule.nodes)
            weights.append(rule.weights / self.num_starts)
            starts.append(np.full(len(rule.nodes), i))
        arrays = {
            "ritz_nodes": np.concatenate(nodes),
            "ritz_weights": np.concatenate(weights),
            "ritz_starts": np.concatenate(starts).astype(np.float64),
        }
        return Findings(arrays=arrays)


def _every(values: np.ndarray) -> Findings:
    """Return the rule whose nodes are all eigenvalues, each of weight 1/P."""
    weights, starts = np.full(len(values), 1 / len(values)), np.full(len(values), EVERY)
    return Findings(arrays={"ritz_nodes": values, "ritz_weights": weights, "ritz_starts": starts})
