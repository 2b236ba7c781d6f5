"""Planes of Ritz vectors of the loss: their curvature from the vectors themselves."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.krylov import ritz_run
from scalecurv.measures.noise import rounding
from scalecurv.measures.principal.planes import _gaps, ritz_planes
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.matrices import symmetric
from tests.networks import problem
from tests.quadratic import quadratic

PLAN = Strategy(0.01, 100, 2 << 30, "generic")
NAMES = ["1 2", "1 3", "1 -1", "2 3", "2 -1", "3 -1"]


@each(
    ("name", "loss"),
    [("relu", "mse"), ("tanh", "cross_entropy"), ("conv", "mse")],
    dtype=[torch.float64, torch.float32],
)
def test_the_curvature_is_that_of_the_ritz_vectors(name: str, loss: str, dtype: torch.dtype) -> None:
    """By the dense Hessian and gradient; the plane of the eigenvectors is inside the interval."""
    evaluation = Evaluation(problem(name, loss, dtype=dtype), 1)
    found, truth = ritz_planes(evaluation, PLAN), dense_at(evaluation.problem)
    assert list(found) == NAMES
    space = ritz_run(evaluation, PLAN).space
    g = truth.gradient
    for pair, plane in found.items():
        ranks = [int(r) for r in pair.split()]
        index = np.array([len(space.values) - r if r > 0 else 0 for r in ranks])
        order = np.sort(index)
        U = space.narrowed(order).basis.double()
        bent, lengths = U.T @ truth.hessian @ U, torch.eye(2) + torch.outer(U.T @ g, U.T @ g)
        wanted = truth.beta * float(torch.linalg.det(bent) / torch.linalg.det(lengths))
        assert plane.value == pytest.approx(wanted, rel=1e-9 if dtype == torch.float64 else 1e-4)
        top = torch.linalg.eigh(truth.hessian)[1][:, [-r if r > 0 else 0 for r in ranks]]
        sides = top.T @ truth.hessian @ top, torch.eye(2) + torch.outer(top.T @ g, top.T @ g)
        assert plane.lower <= truth.beta * float(torch.linalg.det(sides[0]) / torch.linalg.det(sides[1])) <= plane.upper
        assert plane.status is (Status.CONVERGED if plane.within(0.01) else Status.BUDGET)
        assert plane.confidence == 0.99
        assert plane.method == f"plane of Ritz vectors {ranks[0]} and {ranks[1]} of H"
        assert plane.num_matvecs == space.num_matvecs + rounding(evaluation).num_matvecs


def test_converged_is_within_the_tolerance_of_the_plan() -> None:
    """Its interval is narrow or not, at tolerances around what float32 leaves open."""
    evaluation, seen = Evaluation(problem("relu", dtype=torch.float32)), set()
    for rtol in (1e-7, 1e-6, 1e-5, 1e-4, 1e-2, 1e-1):
        for plane in ritz_planes(evaluation, replace(PLAN, rtol=rtol)).values():
            assert plane.status is (Status.CONVERGED if plane.within(rtol) else Status.BUDGET)
            seen.add((rtol, plane.status))
    assert len(seen) > 6


@pytest.mark.parametrize("steepness", [0.0, 0.5, 5.0])
def test_of_a_known_space_the_formula(steepness: float) -> None:
    """beta theta_i theta_j / (1 + (g'u_i)^2 + (g'u_j)^2) for eigenvectors u."""
    levels = np.array([7.0, 5, 2, 1, -1, -4])
    A = symmetric(levels, 2)
    vectors = np.linalg.eigh(A.numpy())[1][:, ::-1]  # from the top
    g = steepness * torch.from_numpy(vectors @ np.array([0.5, -0.1, 0.7, 0, 0.2, 0.3]))
    evaluation = Evaluation(quadratic(A, g))
    found = ritz_planes(evaluation, PLAN)
    beta = 1 / (1 + float(g @ g))
    for (a, i), (b, j) in combinations([("1", 0), ("2", 1), ("3", 2), ("-1", 5)], 2):
        along = (g.numpy() @ vectors[:, [i, j]]) ** 2
        wanted = beta * levels[i] * levels[j] / (1 + along.sum())
        assert found[f"{a} {b}"].value == pytest.approx(wanted, rel=1e-9)
    assert evaluation.total_matvecs == 1 + ritz_run(evaluation, PLAN).space.num_matvecs
    assert gradient_facts(evaluation).beta == pytest.approx(beta, rel=1e-12)


@pytest.mark.parametrize(("levels", "names"), [([2.0], []), ([2.0, 1], ["1 2"]), ([3.0, 2, 1], ["1 2", "1 3", "2 3"])])
def test_small_spaces_name_what_they_have(levels: list[float], names: list[str]) -> None:
    """One Ritz vector for each level: no plane twice, and the lowest has its own name from four on."""
    A = torch.diag(torch.tensor(levels + levels, dtype=torch.float64))
    found = ritz_planes(Evaluation(quadratic(A, torch.zeros(len(A), dtype=torch.float64))), PLAN)
    assert list(found) == names
    if names:
        assert found["1 2"].value == pytest.approx(levels[0] * levels[1], rel=1e-12)


def test_the_gap_is_that_to_the_nearest() -> None:
    assert _gaps(np.array([0.0, 1.0, 3.0, 3.5])).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert _gaps(np.array([2.0])).tolist() == [np.inf]


def test_single_precision_leaves_more_open() -> None:
    """By beta (|theta_i| + |theta_j|) times what rounding adds to H, at least."""
    evaluation = Evaluation(problem("relu", dtype=torch.float32), 1)
    strategy = Strategy(1e-9, 1000, 2 << 30, "generic")  # until nothing but rounding is left
    values, noise = ritz_run(evaluation, strategy).space.values, rounding(evaluation).norm
    found, beta = ritz_planes(evaluation, strategy), gradient_facts(evaluation, double=True).beta
    g2 = gradient_facts(evaluation).grad_norm ** 2
    assert found["1 2"].halfwidth >= beta * abs(values[[-1, -2]]).sum() * noise / (1 + g2)
