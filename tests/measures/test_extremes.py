"""The ends of the Hessian's spectrum against its dense eigenvalues."""

import numpy as np
import pytest
import torch

from scalecurv.curvature.hessian import HessianOperator
from scalecurv.estimate import Status
from scalecurv.measures import Extremes
from scalecurv.measures.evaluation import Evaluation
from tests.networks import CASES, oracle, problem


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "loss", "reduction"), CASES[::2])
@pytest.mark.parametrize("seed", range(4))
def test_the_certificates_hold_the_eigenvalues(
    name: str, loss: str, reduction: str, dtype: torch.dtype, seed: int
) -> None:
    point = problem(name, loss, reduction, dtype=dtype)
    found = Extremes(1e-3).ask(Evaluation(point, seed))
    rounded = point.astype(torch.float64)  # at the weights and data as single precision holds them
    dense = HessianOperator(rounded).matmat(torch.eye(point.num_params)) if dtype == torch.float32 else None
    truth = np.linalg.eigvalsh(oracle(name, loss, reduction).hessian if dense is None else dense)
    for quantity, end in (("lambda_max", truth[-1]), ("lambda_min", truth[0])):
        estimate = found.estimates[quantity]
        assert estimate.status is Status.CERTIFIED
        assert estimate.lower <= end <= estimate.upper
        assert estimate.halfwidth <= 1e-3 * abs(truth).max()
    slack = 32 * torch.finfo(dtype).eps * abs(truth).max()
    nodes, residuals = found.arrays["ritz_values"], found.arrays["ritz_residuals"]
    assert bool((np.abs(nodes[:, None] - truth).min(1) <= residuals + slack).all())


@pytest.mark.parametrize(("memory", "steps"), [(1, 2), (3 * 74 * 8, 3), (1 << 30, 20)])
def test_memory_bounds_the_basis(memory: int, steps: int) -> None:
    found = Extremes(1e-12, 80, memory).ask(Evaluation(problem("tanh")))
    assert found.estimates["lambda_max"].num_matvecs == len(found.arrays["ritz_values"]) == steps
    assert found.estimates["lambda_max"].status is Status.BUDGET
