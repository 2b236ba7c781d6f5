"""What rounding adds to products is inside every interval, however small H has become beside it."""

import copy
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.measures import Curvature, Extremes, Moments, krylov
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Measure
from scalecurv.measures.noise import CAUTION, Perturbation, noise_floor, rounding
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.networks import Called, problem

pytestmark = pytest.mark.xdist_group("rounding")  # the network is trained once for all of them
LOSSES = {"early": 6e-4, "late": 5e-5, "saturated": 4e-6}
STEPS = {"early": 700, "late": 2500, "saturated": 6000}
MEASURES: dict[str, Measure] = {
    "ends": Extremes(0.05, 300, route="generic"),
    "sampled": Moments(0.05, 300, route="sampled"),
    "generic": Moments(0.05, 300, route="generic"),
    "curvature": Curvature(0.05, 300, route="generic"),
}
NETS = ["relu", "tanh", "conv", "tied", "partly", "batch norm"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order: training for thousands of steps would enlarge any other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def trained() -> dict[str, Problem]:
    """Return an 8-32-3 net at three points of its way to a perfect fit, in float32."""
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(80, 8, generator=rng), torch.randint(3, (80,), generator=rng)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    points = {}
    for step in range(1, max(STEPS.values()) + 1):
        adam.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        adam.step()
        points |= {name: Problem(copy.deepcopy(model), (x, y)) for name, last in STEPS.items() if step == last}
    return points


@cache
def truth(name: str) -> tuple[Dense, Tensor]:
    """Everything dense in float64 at the same weights, and the error E of the products in float32."""
    point = trained()[name]
    exact = dense_at(point)
    return exact, error_of(point, exact)


def error_of(point: Problem, exact: Dense) -> Tensor:
    return HessianOperator(point).matmat(torch.eye(point.num_params)).double() - exact.hessian


def true_values(name: str) -> dict[str, float]:
    exact = truth(name)[0]
    eigenvalues = np.linalg.eigvalsh(exact.hessian.numpy())
    return {
        "lambda_max": eigenvalues[-1],
        "lambda_min": eigenvalues[0],
        "trace": exact.trace(),
        "trace_h2": exact.trace_h2(),
        "scalar_curvature": exact.curvature,
    }


def asked(name: str, evaluation: Evaluation) -> dict[tuple[str, str], tuple[Estimate, float]]:
    """Each estimate that has a dense truth, with it."""
    values = true_values(name)
    return {
        (road, quantity): (estimate, values[quantity])
        for road, measure in MEASURES.items()
        for quantity, estimate in measure.compute(evaluation).estimates.items()
        if quantity in values
    }


def holds(estimate: Estimate, value: float) -> bool:
    return estimate.lower <= value <= estimate.upper


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_every_interval_holds_the_truth(name: str, seed: int) -> None:
    point = trained()[name]
    exact, _ = truth(name)
    assert point.dtype == torch.float32
    assert exact.loss == pytest.approx(LOSSES[name], rel=0.5)
    evaluation = Evaluation(point, seed)
    for asked_for, (estimate, value) in asked(name, evaluation).items():
        if estimate.status is Status.EXACT:  # in float64, which a saturated softmax leaves some digits
            assert estimate.value == pytest.approx(value, rel=1e-8), asked_for
        else:
            assert holds(estimate, value), asked_for
            assert estimate.num_matvecs >= rounding(evaluation).num_matvecs == 6


@pytest.mark.parametrize("seed", [0, 2])
def test_where_a_softmax_saturates_the_largest_eigenvalue_is_missed_without_it(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """No quirk of the certificate: the Ritz value is that of H + E, which is no more than |E| away.

    The products are autograd's, which loses digits where the closed form keeps them.
    """
    listed, estimates = trained()["saturated"], {}
    point = Problem(Called(listed.model), (listed.x, listed.y))
    for kind in ("with", "without"):  # the latter last: nothing is checked from then on
        evaluation = Evaluation(point, seed)
        if kind == "without":
            monkeypatch.setattr(krylov, "rounding", lambda evaluation: Perturbation())
        estimates[kind], value = asked("saturated", evaluation)["ends", "lambda_max"]
    exact, _ = truth("saturated")
    E = error_of(point, exact)
    assert float(E.norm()) > 10 * float(error_of(listed, exact).norm())
    ritz = float(torch.linalg.eigvalsh(exact.hessian + (E + E.T) / 2)[-1])
    assert not holds(estimates["without"], value)
    assert holds(estimates["with"], value)
    assert estimates["without"].value == pytest.approx(ritz, abs=float(E.norm()))
    assert estimates["without"].halfwidth < abs(ritz - value) < float(E.norm())


def test_the_error_does_not_fade_with_the_curvature() -> None:
    shares = {name: float(E.norm() / exact.hessian.norm()) for name, (exact, E) in ((n, truth(n)) for n in LOSSES)}
    found = {name: noise_floor(Evaluation(trained()[name])).value for name in LOSSES}
    assert min(shares.values()) == shares["early"]
    assert shares["saturated"] > 30 * shares["early"]
    assert all(shares[name] / 3 < found[name] < 3 * shares[name] for name in LOSSES)  # one vector tells no more


@each(loss=["mse", "cross_entropy"], name=NETS)
def test_the_norm_is_no_less_than_the_dense_error(name: str, loss: str) -> None:
    point = problem(name, loss, dtype=torch.float32)
    E = error_of(point, dense_at(point))
    for seed in range(4):
        found = rounding(Evaluation(point, seed))
        most = 4 * float(E.norm()) + 2 * 1.2e-7 * float(dense_at(point).hessian.norm())
        assert float(E.norm()) <= found.norm <= CAUTION * most
        assert abs(float(E.trace())) <= found.trace
        assert found.num_matvecs == 6


@pytest.mark.parametrize("name", LOSSES)
def test_nor_where_a_softmax_saturates(name: str) -> None:
    E = truth(name)[1]
    for seed in range(10):
        found = rounding(Evaluation(trained()[name], seed))
        assert float(E.norm()) <= found.norm
        assert abs(float(E.trace())) <= found.trace


@each(size=[1e-7, 1e-2, 1.0, 30.0])
def test_the_change_of_a_square_is_bounded_and_the_bound_is_reached(size: float) -> None:
    """||H + E|^2 - |H|^2| <= 2 |H| |E| + |E|^2, with equality where E is a positive multiple of H."""
    rng = torch.Generator().manual_seed(0)
    H, other = torch.randn(2, 20, 20, generator=rng, dtype=torch.float64)
    F, norm = float((H**2).sum()), size * float(H.norm())
    bound = Perturbation(norm=norm).of_square(F)
    for E in (other, -other, H, -H):
        change = abs(float(((H + E * (norm / E.norm())) ** 2).sum()) - F)
        assert change <= bound * (1 + 1e-8)
        if E is H:
            assert change == pytest.approx(bound, rel=1e-8)
    assert Perturbation(norm=norm).of_square(-1e-9) == pytest.approx(norm**2)  # a sampled square can be below zero
    assert Perturbation().of_square(F) == 0


@each(seed=range(8))
def test_a_dead_network_has_products_to_compare(seed: int) -> None:
    """All that is left is diag(p) - pp' in the last biases: equal signs there give a product of zero."""
    rng = torch.Generator().manual_seed(2)
    x, y = torch.randn(30, 6, generator=rng), torch.randint(3, (30,), generator=rng)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    point = Problem(model, (x, y))
    exact = dense_at(point).hessian
    assert exact[:-3].abs().max() == 0 < exact.norm()
    assert float((exact @ torch.ones(point.num_params, dtype=torch.float64)).norm()) < 1e-12
    assert noise_floor(Evaluation(point, seed)).value < 1e-5


@each(route=[None, "exact"], seed=range(5))
def test_one_weight_has_no_curvature(seed: int, route: str | None) -> None:
    """T^2 = F in one dimension."""
    rng = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(float(torch.randn((), generator=rng)))
    point = Problem(model, tuple(torch.randn(2, 20, 1, generator=rng)), "mse")
    assert dense_at(point).trace() > 0.1
    found = Curvature(route=route).compute(Evaluation(point)).estimates
    assert abs(found["scalar_curvature"].value) < 1e-12
    assert abs(found["t2_minus_f"].value) < 1e-12


@each(name=NETS)
def test_products_in_double_are_not_checked(name: str) -> None:
    evaluation = Evaluation(problem(name))
    assert repr(rounding(evaluation)) == repr(Perturbation())
    assert evaluation.total_matvecs == 0


@each(seed=range(8))
def test_a_single_weight_whose_error_has_rank_one(seed: int) -> None:
    """K of one weight is 0, and so is what its sampled interval holds, whatever float32 makes of the product."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, x = nn.Sequential(nn.Linear(1, 1, bias=False)), torch.randn(5, 1)
    K = (
        Curvature(route="sampled")
        .compute(Evaluation(Problem(model, (x, x + 1), "mse"), seed))
        .estimates["scalar_curvature"]
    )
    assert K.lower <= 1e-12
    assert K.upper >= -1e-12
