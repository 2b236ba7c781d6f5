"""Draws of samples with replacement, each with a probability in proportion to its share T_i of tr G.

T_i must be exact: with T_i from one random output vector a sample the draws are no better than equal ones, and the
intervals fail.
"""

from dataclasses import dataclass

import numpy as np
import torch

from scalecurv.affine import traces
from scalecurv.linalg.probes import generator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.mlp import trace
from scalecurv.mlp.layers import listed_mlp
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered

STREAM = "pairs"
EVEN = 0.05  # of the draws are made with equal probabilities, so that no sample's weight 1 / p_i is without a bound


@dataclass(frozen=True)
class Weights:
    """The exact T_i = c tr(F_i'J_iJ_i'F_i) of all samples, (N,), and the probabilities p_i of a draw."""

    traces: np.ndarray

    @property
    def total(self) -> float:
        """Return tr G, weight decay left out."""
        return float(self.traces.sum())

    @property
    def probabilities(self) -> np.ndarray:
        """Return p_i = .95 T_i / sum T + .05 / N; equal ones where tr G is 0."""
        N, total = len(self.traces), self.total
        return (1 - EVEN) * self.traces / total + EVEN / N if total > 0 else np.full(N, 1 / N)

    @property
    def bound(self) -> float:
        """Return a bound on tr(G_i G_j) / (p_i p_j) <= T_i T_j / (p_i p_j) for all samples i and j."""
        return (self.total / (1 - EVEN)) ** 2

    def draws(self, seed: int, ids: range, D: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of samples, (len(ids),), and random signs (len(ids), D), of these draws."""
        upto = np.cumsum(self.probabilities)
        numbers, signs = np.empty(len(ids), dtype=np.int64), np.empty((len(ids), D))
        for row, i in enumerate(ids):
            rng = generator(seed, STREAM, i)
            numbers[row] = min(np.searchsorted(upto, rng.random() * upto[-1], side="right"), len(upto) - 1)
            signs[row] = 2.0 * rng.integers(0, 2, D) - 1.0
        return numbers, signs


def weights_of(evaluation: Evaluation) -> Weights:
    """Return T_i of all samples, on every rank, from D backward passes."""
    return _weights(evaluation.double)


@remembered
def _weights(problem: Problem) -> Weights:
    mlp = listed_mlp(problem)
    own = traces.sample_traces(problem) if mlp is None else trace.sample_traces(problem, mlp)
    everywhere = torch.zeros(problem.num_data, dtype=torch.float64)
    everywhere[problem.rows.start : problem.rows.start + len(own)] = own.double().cpu()
    return Weights(problem.shard.add(everywhere.to(problem.device)).cpu().numpy())
