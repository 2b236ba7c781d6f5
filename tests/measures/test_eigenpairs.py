"""Eigenpairs of the Hessian of networks against dense eigendecompositions, by both routes."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import scalecurv as sc
from scalecurv.linalg.krylov.eigenpairs import room_for
from scalecurv.measures.eigenpairs import BESIDE, CHECKED, TOGETHER, EigenPairs
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.networks import data, network, problem

FEW = 60  # products, fewer than there are parameters


def oracle(point: Problem, k: int, which: str) -> torch.Tensor:
    """Return the eigenvalues of H in float64."""
    values = torch.linalg.eigvalsh(dense_at(point).hessian)
    order = {"LA": -values, "SA": values, "LM": -values.abs()}[which].argsort()
    return values[order[:k]]


def residuals(point: Problem, pairs: EigenPairs) -> np.ndarray:
    H, V = dense_at(point).hessian, pairs.vectors.double()
    values = torch.tensor([value.value for value in pairs.values], dtype=torch.float64)
    return (H @ V - V * values).norm(dim=0).numpy()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_vectors_of_networks(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    for name, loss, which in (
        ("relu", "cross_entropy", "LA"),
        ("relu", "cross_entropy", "SA"),
        ("relu", "cross_entropy", "LM"),
        ("tanh", "mse", "LM"),
    ):
        point = problem(name, loss, dtype=dtype)
        truth = oracle(point, 4, which)
        for most in (1000, FEW):
            pairs = sc.eigenpairs(point, 4, which=which, max_matvecs=most)
            V = pairs.vectors
            assert (V.shape, V.dtype, len(pairs)) == ((point.num_params, 4), dtype, 4)
            torch.testing.assert_close(V.T @ V, torch.eye(4, dtype=dtype), rtol=0, atol=50 * eps)
            for value, true in zip(pairs.values, truth.tolist(), strict=True):
                assert value.lower - 1e-12 <= true <= value.upper + 1e-12
            assert pairs.residuals == pytest.approx(residuals(point, pairs), rel=1e-6, abs=1e-13)
            if most == 1000:
                assert {value.method for value in pairs.values} == {f"H written out, {point.num_params} products"}
                assert pairs.num_matvecs == point.num_params
                assert pairs.residuals.max() <= 20 * eps * float(truth.abs().max())
            else:
                assert pairs.num_matvecs <= most
                assert {value.num_matvecs for value in pairs.values} == {pairs.num_matvecs - 4}
                assert pairs.confidence == pytest.approx(0.998 if which == "LM" else 0.999)


def test_linear_regression_has_each_eigenvalue_as_often_as_outputs() -> None:
    """H = I x X'X / N: four copies of each, of which one run of Lanczos sees one."""
    torch.manual_seed(0)
    model, x = nn.Linear(29, 4, dtype=torch.float64), torch.randn(50, 29, dtype=torch.float64)
    point = Problem(model, (x * torch.linspace(1, 5, 29), torch.zeros(50, 4)), "mse")
    truth = oracle(point, 6, "LA").numpy()
    assert truth[:4] == pytest.approx([truth[0]] * 4)
    assert point.num_params > 110
    pairs = sc.eigenpairs(point, 6, max_matvecs=110)
    assert {value.status for value in pairs.values} == {Status.CERTIFIED}
    assert all(
        value.lower - 1e-12 <= true <= value.upper + 1e-12 for value, true in zip(pairs.values, truth, strict=True)
    )
    assert (pairs.residuals <= 1e-2 * truth).all()


def test_every_pair_of_a_small_problem() -> None:
    problem = sc.Problem.quadratic(3.0, 0.0, 1.0)
    assert [value.value for value in sc.eigenpairs(problem, 3, which="SA").values] == pytest.approx([0, 1, 3])
    assert [value.value for value in sc.eigenpairs(problem, 3, which="LM").values] == pytest.approx([3, 1, 0])
    one = sc.eigenpairs(sc.Problem.quadratic(2.0))
    assert (one.values[0].value, one.values[0].status) == (pytest.approx(2.0), Status.EXACT)
    flat = sc.eigenpairs(sc.Problem.quadratic(0.0, 0.0), 2, which="LM")
    assert [value.value for value in flat.values] == [0, 0]
    assert flat.residuals.tolist() == [0, 0]


def test_where_rounding_is_coarse_intervals_say_so() -> None:
    """In float32 products carry noise that no further product takes away."""
    point = problem("relu", "cross_entropy", dtype=torch.float32)
    pairs = sc.eigenpairs(point, 3, rtol=1e-9, max_matvecs=FEW)
    assert {value.status for value in pairs.values} == {Status.BUDGET}
    assert all("give a larger rtol, or products in float64" in value.method for value in pairs.values)
    truth = oracle(point, 3, "LA").tolist()
    assert all(value.lower <= true <= value.upper for value, true in zip(pairs.values, truth, strict=True))


def test_pairs_are_iterated_shown_and_split_by_parameter() -> None:
    point = problem("relu", "cross_entropy")
    pairs = sc.eigenpairs(point, 2, max_matvecs=FEW)
    for (value, vector), known, column in zip(pairs, pairs.values, pairs.vectors.T, strict=True):
        assert value is known
        assert torch.equal(vector, column)
    title = f"2 of 74, LA, 99.9 % for all, {pairs.num_matvecs} products"
    assert repr(pairs) == f"EigenPairs({title})"
    lines = str(pairs).splitlines()
    assert (lines[0], len(lines)) == (title, 4)
    assert re.fullmatch(r"1 +\S.* \(99\.9 %\) +\d\.\de-\d\d +certified", lines[2])
    assert pairs._repr_html_().count("<tr>") == 3
    parts = point.unflatten(pairs.vectors[:, 0])
    assert {name: part.shape for name, part in parts.items()} == dict(point.space.shapes)
    assert torch.equal(point.space.flatten(parts), pairs.vectors[:, 0])
    both = point.unflatten(pairs.vectors)
    assert both["0.weight"].shape == (5, 6, 2)
    assert torch.equal(both["0.weight"][..., 0], parts["0.weight"])
    with pytest.raises(
        sc.Misuse, match=r"^a vector of shape \(3,\) for 74 parameters; give shape \(74,\), or a block$"
    ):
        point.unflatten(torch.ones(3))


def test_a_second_call_takes_no_product_and_another_seed_agrees() -> None:
    point = problem("tanh", "mse")
    pairs = sc.eigenpairs(point, 3, max_matvecs=FEW)
    assert sc.eigenpairs(point, 3, max_matvecs=FEW) is pairs
    other = sc.eigenpairs(point, 3, max_matvecs=FEW, seed=1)
    angle = torch.linalg.svdvals(pairs.vectors.T @ other.vectors)
    assert float(angle.min()) > 0.999


def test_a_request_that_cannot_be_met_is_one_line_that_leads_to_an_answer() -> None:
    point = problem("relu", "cross_entropy")
    size = (TOGETHER * room_for(2) + 2 + BESIDE) * 74 * 8
    for options, wanted in [
        ({"k": 0}, "k is 0; H is 74 x 74 and has 74 eigenpairs: give a whole number from 1 to 74"),
        ({"k": 75}, "k is 75; H is 74 x 74 and has 74 eigenpairs: give a whole number from 1 to 74"),
        ({"k": 1.5}, "k is 1.5; H is 74 x 74 and has 74 eigenpairs: give a whole number from 1 to 74"),
        ({"which": "BE"}, "which is 'BE'; it is one of 'LA' (largest), 'SA' (smallest) and 'LM' (largest in size)"),
        ({"rtol": -1.0}, "rtol is -1.0; it must be at least 0 and finite"),
        (
            {"k": 10, "max_matvecs": 30},
            f"10 eigenpairs of 74 parameters take at least {20 + CHECKED} products, and max_matvecs is 30; "
            f"give max_matvecs={20 + CHECKED} or more",
        ),
        (
            {"k": 70, "max_matvecs": 70},
            "70 eigenpairs of 74 parameters take at least 74 products, and max_matvecs is 70; "
            "give max_matvecs=74 or more",
        ),
        (
            {"k": 2, "max_matvecs": FEW, "memory": 100},
            f"2 eigenpairs of 74 parameters need {size} bytes, and memory is 100; give memory={size}",
        ),
    ]:
        with pytest.raises(sc.Misuse, match=f"^{re.escape(wanted)}$"):
            sc.eigenpairs(point, **options)
    assert len(sc.eigenpairs(point, 2, max_matvecs=FEW, memory=size)) == 2
    assert len(sc.eigenpairs(point, 70, max_matvecs=74)) == 70
    assert len(sc.eigenpairs(point, 10, max_matvecs=20 + CHECKED)) == 10


def test_warm_pairs_along_a_run_hold_and_are_refused_where_they_are_none() -> None:
    """The second point is a step of training away from the first; H is too large to be written out."""
    first = problem("relu", "cross_entropy")
    pairs = sc.eigenpairs(first, 3, max_matvecs=FEW)
    model = network("relu")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1e-3)
    second = sc.Problem(model, data("cross_entropy"))
    truth = oracle(second, 3, "LA").tolist()
    for warm in (pairs, pairs.vectors, torch.eye(second.num_params)[:, :3]):
        found = sc.eigenpairs(second, 3, max_matvecs=FEW, warm=warm)
        assert all(v.lower - 1e-12 <= true <= v.upper + 1e-12 for v, true in zip(found.values, truth, strict=True))
        assert found.residuals == pytest.approx(residuals(second, found), rel=1e-6, abs=1e-13)
    same = sc.eigenpairs(first, 3, max_matvecs=FEW, warm=pairs)
    assert same.num_matvecs < pairs.num_matvecs
    P = second.num_params
    for bad, said in (
        (
            pairs.vectors[1:],
            rf"^warm is a tensor of shape \({P - 1}, 3\); give the result of eigenpairs, or vectors of",
        ),
        (3.0, "^warm is of type float; give the result of eigenpairs"),
        (pairs.vectors / 0, "^warm holds values that are no finite real numbers; give vectors without NaN"),
    ):
        with pytest.raises(sc.Misuse, match=said):
            sc.eigenpairs(second, 3, max_matvecs=FEW, warm=bad)  # type: ignore[arg-type]
