"""The numerical rank of the Jacobian against its dense singular values, beside the architecture's ceiling."""

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.curvature.problem import Problem
from scalecurv.estimate import Status
from scalecurv.measures import Rank
from scalecurv.measures.evaluation import Evaluation
from tests.networks import NETWORKS, data, mlp, network, oracle, problem

TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}


@pytest.mark.parametrize("name", NETWORKS)
def test_against_the_singular_values(name: str) -> None:
    J = oracle(name).jacobian.numpy()
    sigma = np.linalg.svd(J, compute_uv=False)
    found = Rank().ask(Evaluation(problem(name, batch_size=3)))
    np.testing.assert_allclose(found.arrays["singular_values"], sigma, rtol=1e-10, atol=1e-14 * sigma[0])
    roundoff = max(J.shape) * np.finfo(np.float64).eps
    for quantity, tau in {"rank": roundoff, **TAUS}.items():
        assert found.estimates[quantity].value == (sigma > tau * sigma[0]).sum()
        assert found.estimates[quantity].status is Status.CONVERGED


def test_many_points_meet_the_ceiling() -> None:
    """One hidden layer: dim of the functions is P - h, reached by enough spread inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = mlp(nn.ReLU, (2, 4, 1)).double()
        x = 4 * torch.randn(400, 2, dtype=torch.float64)
    found = Rank().ask(Evaluation(Problem(model, (x, x[:, 0]), "mse"))).estimates
    assert found["rank"].value == found["rank_ceiling"].value == 17 - 4
    assert found["rank_ceiling"].status is Status.EXACT


@pytest.mark.parametrize(
    ("name", "ceiling"), [("relu", 74 - 9), ("one output", 33 - 4), ("tanh", None), ("conv", None)]
)
def test_the_ceiling_is_for_homogeneous_mlps(name: str, ceiling: int | None) -> None:
    found = Rank().ask(Evaluation(problem(name))).estimates["rank_ceiling"]
    if ceiling is None:
        assert found.status is Status.NOT_APPLICABLE
        assert found.method == "not an MLP of positively homogeneous activations"
    else:
        assert found.value == ceiling


def test_float32_decides_no_rank() -> None:
    """Rank 3 of 12 equal rows in double; rounding in single precision would make it more."""
    model = network("one output").float()
    x = data("mse")[0][:3].repeat(4, 1)
    found = Rank().ask(Evaluation(Problem(model, (x, x[:, 0]), "mse", dtype=torch.float32))).estimates
    assert found["rank"].value == found["rank_1e6"].value == 3


def test_every_threshold_is_a_share_of_the_largest() -> None:
    """A linear model: J is the data itself, with singular values 10, 5e-2, 5e-3, 5e-6, 1e-12."""
    sigma = torch.tensor([10.0, 5e-2, 5e-3, 5e-6, 1e-12], dtype=torch.float64)
    model = nn.Linear(5, 1, bias=False).double()
    found = Rank().ask(Evaluation(Problem(model, (torch.diag(sigma), sigma), "mse"))).estimates
    assert [found[name].value for name in ("rank_1e2", "rank_1e3", "rank_1e6", "rank")] == [1, 2, 3, 5]


def test_too_little_memory_is_a_lower_bound() -> None:
    found = Rank(memory=5 * (2 * 21 + 74) * 8).ask(Evaluation(problem("relu"))).estimates["rank"]
    assert found.status is Status.LOWER_BOUND
    assert (found.value, found.upper) == (5, 21)
    assert str(found) == ">= 5"
