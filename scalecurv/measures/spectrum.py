"""The spectral density of the Hessian as Gauss rules: nodes and weights, never a smoothed curve."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from scalecurv.linalg.lanczos import lanczos
from scalecurv.linalg.probes import probes
from scalecurv.measures.budget import Budget
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure

STREAM = "spectrum start"


@dataclass(frozen=True)
class Spectrum(Measure):
    """The density phi(t) = (1/P) sum_i delta(t - lambda_i), sampled by `num_starts` Lanczos runs of one length.

    The weights of all runs together sum to 1, so that sum_j weights[j] f(nodes[j]) estimates tr f(H) / P;
    `ritz_starts` tells which run a node came from. (Ubaru, Chen and Saad 2017)
    """

    num_starts: int = 4
    max_matvecs: int = 1000
    memory: int = 2 << 30

    name: ClassVar[str] = "spectrum"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ()

    def ask(self, evaluation: Evaluation) -> Findings:
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
