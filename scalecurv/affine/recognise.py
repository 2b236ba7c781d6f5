"""The recogniser of tensors in which the outputs are affine within a cell of the activation pattern."""

from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered


@remembered
def affine_tensors(problem: Problem) -> frozenset[str]:
    """Return the names of the free parameters W with d^2 f_k / dW^2 = 0 for every output f_k; remembered.

    There R_WW = 0 and H_WW = G_WW, whatever the loss and theta, off the kinks.
    """
    return frozenset()
