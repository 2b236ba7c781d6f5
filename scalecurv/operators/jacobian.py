"""The Jacobian of all outputs over the data, given by its products from both sides."""

import torch
from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.products import linearized
from scalecurv.operators.summed import by_columns
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch


class JacobianOperator(LinearOperator):
    """J = df/dtheta of shape (N D, P); row i D + k belongs to output k of sample i, with `prob` to its softmax."""

    def __init__(self, problem: Problem, prob: bool = False):
        self.problem, self.prob = problem, prob
        self.shape = (problem.num_data * problem.num_outputs, problem.num_params)
        self.dtype, self.device = problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        return by_columns(V, self.shape[0], self.problem.columns, self._push_all)

    def _rmatmat(self, U: Tensor) -> Tensor:
        return by_columns(U, self.shape[1], self.problem.columns, self._pull_all)

    def _push_all(self, V: Tensor) -> Tensor:
        return torch.cat([linearized(self.problem, batch, self.prob).push(V) for batch in self.problem.batches()])

    def _pull_all(self, U: Tensor) -> Tensor:
        return sum_over_data(
            self.problem, lambda batch: linearized(self.problem, batch, self.prob).pull(U[self._rows(batch)])
        )

    def _rows(self, batch: Batch) -> slice:
        width = self.problem.num_outputs
        return slice(batch.start * width, (batch.start + len(batch.x)) * width)
