"""The rank of the Jacobian and its profile against dense singular values, beside the architecture's ceiling."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.measures import Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.rank import ACCOUNT
from scalecurv.mlp.layers import listed_mlp
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.loops import each
from tests.networks import NETWORKS, data, mlp, network, oracle, problem

HOMOGENEOUS = ("relu", "one output")
TAUS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}


def softmax_jacobian(name: str) -> np.ndarray:
    """diag(p) - p p' of each sample times its rows of J."""
    point, J = problem(name), oracle(name).jacobian
    p = point.outputs(point.theta, point.x).softmax(1)
    slopes = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return (slopes @ J.view(*p.shape, -1)).flatten(0, 1).numpy()


@each(name=NETWORKS)
def test_against_the_singular_values(name: str) -> None:
    J = oracle(name).jacobian.numpy()
    sigma = np.linalg.svd(J, compute_uv=False)
    found = Rank(singular_values=True).compute(Evaluation(problem(name, batch_size=3)))
    np.testing.assert_allclose(found.arrays["singular_values"], sigma, rtol=1e-10, atol=1e-12 * sigma[0])
    roundoff = max(J.shape) * np.finfo(np.float64).eps
    for quantity, tau in {"rank": roundoff, **TAUS}.items():
        assert found.estimates[quantity].value == (sigma > tau * sigma[0]).sum()
        proven = quantity == "rank" and name in HOMOGENEOUS
        assert found.estimates[quantity].status is (Status.CERTIFIED if proven else Status.CONVERGED)
        assert found.estimates[quantity].num_matvecs == (0 if listed_mlp(problem(name)) else min(J.shape))


def test_many_points_meet_the_ceiling() -> None:
    """One hidden layer: dim of the functions is P - h, reached by enough spread inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = mlp(nn.ReLU, (2, 4, 1)).double()
        x = 4 * torch.randn(400, 2, dtype=torch.float64)
    found = Rank().compute(Evaluation(Problem(model, (x, x[:, 0]), "mse"))).estimates
    assert found["rank"].value == found["rank_ceiling"].value == 17 - 4
    assert found["rank_ceiling"].status is Status.EXACT


@each(("name", "ceiling"), [("relu", 74 - 9), ("one output", 33 - 4), ("tanh", None), ("conv", None)])
def test_the_ceiling_is_for_homogeneous_mlps(name: str, ceiling: int | None) -> None:
    found = Rank().compute(Evaluation(problem(name))).estimates["rank_ceiling"]
    if ceiling is None:
        assert found.status is Status.NOT_APPLICABLE
        assert found.method == "not an MLP of homogeneous activations"
    else:
        assert found.value == ceiling


def test_float32_decides_no_rank() -> None:
    """Rank 3 of 12 equal rows in double; rounding in single precision would make it more."""
    model = network("one output").float()
    x = data("mse")[0][:3].repeat(4, 1)
    found = Rank().compute(Evaluation(Problem(model, (x, x[:, 0]), "mse", dtype=torch.float32))).estimates
    assert found["rank"].value == found["rank_1e6"].value == 3


def test_every_threshold_is_a_share_of_the_largest() -> None:
    """A linear model: J is the data itself, with singular values 10, 5e-2, 5e-3, 5e-6, 1e-12."""
    sigma = torch.tensor([10.0, 5e-2, 5e-3, 5e-6, 1e-12], dtype=torch.float64)
    model = nn.Linear(5, 1, bias=False).double()
    found = Rank().compute(Evaluation(Problem(model, (torch.diag(sigma), sigma), "mse"))).estimates
    assert [found[name].value for name in ("rank_1e2", "rank_1e3", "rank_1e6", "rank")] == [1, 2, 3, 5]


@pytest.mark.parametrize(("name", "memory", "value"), [("tanh", 5 * (2 * 21 + 74) * 8, 5), ("relu", 20_000, 6)])
def test_too_little_memory_is_a_lower_bound(name: str, memory: int, value: int) -> None:
    """Five vectors are sketched of the one, three samples looked at of the other."""
    found = Rank(memory=memory).compute(Evaluation(problem(name))).estimates["rank"]
    assert found.status is Status.LOWER_BOUND
    assert (found.value, found.lower, found.upper) == (value, value, 21)
    assert str(found) == f">= {value}, <= 21"


STRUCTURAL = {"rank_generic", "rank_ceiling", "kink_margin", *ACCOUNT}


@each(asked=[None, False, True], output=[None, "logits", "prob"], name=["relu", "tanh"])
def test_what_is_found_is_what_was_asked(name: str, output: str | None, asked: bool | None) -> None:
    """The functional dimension where it was asked for; no account of probabilities; tanh has nothing structural."""
    found = Rank(output=output, functional_dimension=asked).compute(Evaluation(problem(name)))
    names = set(Rank.quantities) - (set() if asked else {"functional_dimension_lower"})
    if output == "prob":
        names -= set(ACCOUNT) if name == "relu" else set()
        assert set(found.by_component) == {(quantity, "softmax") for quantity in names}
    else:
        assert set(found.by_component) == {(quantity, "") for quantity in names}
    assert not found.arrays
    values = Rank(output=output, singular_values=True).compute(Evaluation(problem(name))).arrays
    assert set(values) == {"singular_values_softmax" if output == "prob" else "singular_values"}
    declined = {quantity for (quantity, _), e in found.by_component.items() if e.status is Status.NOT_APPLICABLE}
    structural = STRUCTURAL | ({"functional_dimension_lower"} if asked else set())
    assert declined == (structural if name == "tanh" else set())


def test_positions_have_a_softmax_each_and_not_one_of_all() -> None:
    pixels = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Unflatten(1, (3, 2)))
    at = Problem(pixels, (torch.zeros(2, 1, 4), torch.zeros(2, 2, dtype=torch.long)))
    with pytest.raises(Misuse, match=re.escape("outputs of shape (3, 2), which are not the classes of one softmax")):
        Rank(output="prob").compute(Evaluation(at))


@each(name=[name for name in NETWORKS if name != "one output"])
def test_the_profile_of_the_softmax(name: str) -> None:
    """Every number under the component softmax is that of the Jacobian of the probabilities."""
    J = softmax_jacobian(name)
    sigma = np.linalg.svd(J, compute_uv=False)
    found = Rank(output="prob").compute(Evaluation(problem(name))).parts
    roundoff = max(J.shape) * np.finfo(np.float64).eps
    for quantity, tau in {"rank": roundoff, **TAUS}.items():
        assert found[quantity, "softmax"].value == (sigma > tau * sigma[0]).sum()
    squares = sigma**2
    assert found["stable_rank", "softmax"].value == pytest.approx(squares.sum() / squares[0], rel=1e-9)
    ratio = squares.sum() ** 2 / (squares**2).sum()
    assert found["jacobian_participation_ratio", "softmax"].value == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("prob", "one output has no probabilities; leave --output out"),
        ("odds", "unknown output 'odds'; choose from logits, prob"),
    ],
)
def test_an_output_without_an_answer_is_misuse_at_once(output: str, message: str) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        Rank(output=output).check(problem("one output"))
    Rank().check(problem("one output"))
    Rank(output="prob").check(problem("relu"))
