"""Planes and directions that somebody points at, against the Riemann tensor of the graph written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.measures.principal.planes import NoPlane, ricci_curvature_at, sectional_curvature_at
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import Dense, dense_at
from tests.loops import each
from tests.networks import fitted, oracle, problem

P = 74
NAMES = ["relu", "tanh"]


def directions(seed: int = 0, count: int = 2, size: int = P) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sectional(truth: Dense, u: Tensor, v: Tensor) -> float:
    """beta R(u, v, v, u) / (|u|^2_G |v|^2_G - <u, v>^2_G)."""
    H, metric = truth.hessian, torch.eye(len(u)) + torch.outer(truth.gradient, truth.gradient)
    bent = (u @ H @ u) * (v @ H @ v) - (u @ H @ v) ** 2
    return float(truth.beta * bent / ((u @ metric @ u) * (v @ metric @ v) - (u @ metric @ v) ** 2))


def ricci(truth: Dense, u: Tensor) -> float:
    """The sum over planes of u and the rest of a basis that is orthonormal in the metric."""
    metric = torch.eye(len(u)) + torch.outer(truth.gradient, truth.gradient)
    basis: list[Tensor] = []
    for v in (u, *directions(7, len(u) - 1, len(u))):
        for _ in range(2):
            for b in basis:
                v = v - (b @ metric @ v) * b
        basis.append(v / (v @ metric @ v).sqrt())
    return sum(sectional(truth, basis[0], v) for v in basis[1:])


@each(seed=range(3), loss=["mse", "cross_entropy"], name=NAMES)
def test_sectional(name: str, loss: str, seed: int) -> None:
    u, v = directions(seed)
    found = sc.sectional_curvature(problem(name, loss), u, v)
    assert found.value == pytest.approx(sectional(oracle(name, loss), u, v), rel=1e-10)
    assert (found.status, found.num_matvecs, found.method) == (Status.EXACT, 2, "two hessian products")


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_ricci(loss: str) -> None:
    """Along any direction, and along the gradient."""
    truth = oracle("relu", loss)
    for u in (directions()[0], 1e-3 * directions(1)[0], truth.gradient):
        found = sc.ricci_curvature(problem("relu", loss), u)
        assert found.value == pytest.approx(ricci(truth, u), rel=1e-9)
        assert (found.status, found.num_matvecs) == (Status.EXACT, 2)


def test_at_a_fit_ricci_is_that_of_a_flat_metric() -> None:
    H, (u, _) = dense_at(fitted()).hessian, directions()
    wanted = float((H.trace() * (u @ H @ u) - (H @ u) @ (H @ u)) / (u @ u))
    assert sc.ricci_curvature(fitted(), u).value == pytest.approx(wanted, rel=1e-9)


def test_ricci_of_what_is_sampled() -> None:
    point, u, held = problem("tanh"), directions(3)[0], 0
    truth = ricci(oracle("tanh"), u)
    for seed in range(20):
        found = sc.ricci_curvature(point, u, rtol=0.3, max_matvecs=64, seed=seed)
        held += found.lower <= truth <= found.upper
        T = trace_of(Evaluation(point, seed), Strategy(0.3, 64, 1 << 30))
        assert found.num_matvecs == T.num_matvecs + 2  # one along u and one along the gradient
    assert 16 <= held <= 20


def test_ricci_has_not_converged_where_it_is_wider_than_asked() -> None:
    """A direction in which T u'Hu and |Hu|^2 all but cancel."""
    values, vectors = torch.linalg.eigh(oracle("tanh").hessian)
    T, mean = values.sum(), float("inf")
    for angle in torch.linspace(0, math.pi, 200, dtype=torch.float64):
        squares = torch.tensor([angle.cos() ** 2, angle.sin() ** 2])
        left = T * (squares @ values[[0, -1]]) - squares @ values[[0, -1]] ** 2
        if abs(left) < mean:
            mean, w = abs(left), angle.cos() * vectors[:, 0] + angle.sin() * vectors[:, -1]
    found = sc.ricci_curvature(problem("tanh"), w, rtol=0.05)
    assert found.status is Status.BUDGET or found.within(0.05)


@each(mix=[[[2.0, 0], [0, -3]], [[1, 5], [0, 1]], [[0, 1], [1, 0]], [[1e-3, 1], [1e3, 1]]])
def test_the_curvature_is_that_of_the_plane(mix: list[list[float]]) -> None:
    plane = directions(4)
    first = sc.sectional_curvature(problem("tanh"), *plane)
    other = sc.sectional_curvature(problem("tanh"), *(torch.tensor(mix, dtype=torch.float64) @ plane))
    assert other.value == pytest.approx(first.value, rel=1e-9)


def test_ricci_is_that_of_the_direction() -> None:
    u = directions(4)[0]
    wanted = sc.ricci_curvature(problem("relu"), u).value
    for scale in (-1.0, 1e-30, 1e30):
        assert sc.ricci_curvature(problem("relu"), scale * u).value == pytest.approx(wanted, rel=1e-12)


WRONG = [
    (torch.ones(P - 1), "has 73 entries, the largest of size 1"),
    (torch.zeros(P), "has 74 entries, the largest of size 0"),
    (torch.full((P,), math.nan), "has 74 entries, the largest of size nan"),
    (torch.full((P,), math.inf), "has 74 entries, the largest of size inf"),
    (torch.ones(P, 2), "has 148 entries, the largest of size 1"),
    (torch.ones(0), "has 0 entries, the largest of size 0"),
]


@pytest.mark.parametrize("size", [1e-170, 1e170])
def test_no_length_is_too_small_or_too_large(size: float) -> None:
    u, v = directions()[:2]
    here = sc.sectional_curvature(problem("relu"), u, v).value
    assert sc.sectional_curvature(problem("relu"), size * u, v / size).value == pytest.approx(here, rel=1e-12)


@each(("wrong", "said"), WRONG)
def test_what_is_no_direction(wrong: Tensor, said: str) -> None:
    rest = "; give 74 finite numbers, one a parameter, not all of them zero$"
    good = directions()[0]
    with pytest.raises(Misuse, match=f"^u {said}{rest}"):
        sc.sectional_curvature(problem("relu"), wrong, good)
    with pytest.raises(Misuse, match=f"^v {said}{rest}"):
        sc.sectional_curvature(problem("relu"), good, wrong)
    with pytest.raises(Misuse, match=f"^u {said}{rest}"):
        sc.ricci_curvature(problem("relu"), wrong)


@each(("angle", "parallel"), [(0.0, True), (5e-7, True), (2e-6, False), (math.pi, True)])
def test_directions_that_span_no_plane(angle: float, parallel: bool) -> None:
    u, v = directions()
    v = v - u * (u @ v) / (u @ u)
    turned = math.cos(angle) * u + math.sin(angle) * v * u.norm() / v.norm()
    if parallel:
        with pytest.raises(NoPlane, match=r"^u and v span no plane: the sine of their angle is .*; give two that are"):
            sc.sectional_curvature(problem("relu"), u, 7 * turned)
        return
    found = sc.sectional_curvature(problem("relu"), u, 7 * turned)
    assert found.value == pytest.approx(sectional(oracle("relu"), u, v), rel=1e-6)


def test_whatever_holds_numbers_is_a_direction() -> None:
    """Arrays, single precision, parameters, columns, lists of integers."""
    u, v = torch.arange(P) % 5, torch.arange(P) % 7 - 3
    wanted = sc.sectional_curvature(problem("tanh"), u.double(), v.double())
    length = sc.ricci_curvature(problem("relu"), u.double())
    for a, b in (
        (u.numpy(), v.numpy()),
        (u.float(), v.float()),
        (u.double().requires_grad_(), v.float().requires_grad_()),
        (u[:, None], v[None]),
        (u.tolist(), v.tolist()),
        (np.float32(u), v.to(torch.bfloat16)),
    ):
        assert repr(sc.sectional_curvature(problem("tanh"), a, b)) == repr(wanted)  # type: ignore[arg-type]
        assert repr(sc.ricci_curvature(problem("relu"), a)) == repr(length)  # type: ignore[arg-type]


def test_single_precision_is_computed_in_double() -> None:
    point, (u, v) = problem("tanh", dtype=torch.float32), directions()
    truth = dense_at(point)
    assert sectional_curvature_at(Evaluation(point), u, v).value == pytest.approx(sectional(truth, u, v), rel=1e-10)
    relu = problem("relu", dtype=torch.float32)
    found = ricci_curvature_at(Evaluation(relu), u, Strategy(0.1, 100, 1 << 30))
    assert found.value == pytest.approx(ricci(dense_at(relu), u), rel=1e-9)


def test_the_arguments_are_left_alone() -> None:
    u, v = directions()
    before = u.clone(), v.clone()
    point: Problem = problem("relu")
    sc.sectional_curvature(point, u, v)
    assert torch.equal(u, before[0])
    assert torch.equal(v, before[1])
