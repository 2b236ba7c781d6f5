"""For repeated eigenvalues the second run stays out of the first space, where its operator is 0."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.inner import gram
from scalecurv.linalg.krylov.extremes import Ends, ends_of
from scalecurv.linalg.krylov.lanczos import LanczosProcess, lanczos
from scalecurv.linalg.krylov.outermost import CHECKS, Effort, outermost_eigenvalues
from scalecurv.linalg.krylov.outermost_check import FirstRun, Outermost, checked
from scalecurv.linalg.krylov.ritz import Remainder, RitzSpace
from scalecurv.measures import Principal
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.matrices import symmetric


def test_linear_regression_has_each_eigenvalue_as_often_as_outputs() -> None:
    """H = I x X'X/N at a perfect fit is positive definite, so that a spurious 0 would be the smallest."""
    for seed in range(6):
        dtype = (torch.float64, torch.float32)[seed % 2]
        rng = torch.Generator().manual_seed(seed)
        d, D = 2 + seed % 4, 2 + seed % 3
        model, x = nn.Sequential(nn.Linear(d, D)), torch.randn(26, d, generator=rng)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=rng))
        point = Problem(model.to(dtype), (x.to(dtype), model(x.to(dtype)).detach()), "mse")
        X = torch.cat([point.x.double(), torch.ones(26, 1, dtype=torch.float64)], dim=1)
        truth = torch.linalg.eigvalsh(torch.kron(torch.eye(D, dtype=torch.float64), X.T @ X / 26)).flip(0)
        found = Principal(route="generic").compute(Evaluation(point)).estimates
        slack = 1e-12 * float(truth[0])
        for name, i in (
            ("principal_max", 0),
            ("principal_max_2", 1),
            ("principal_min_2", -2),
            ("principal_min", -1),
        ):
            assert found[name].status is Status.CERTIFIED
            assert found[name].lower - slack <= float(truth[i]) <= found[name].upper + slack


@pytest.fixture(scope="module")
def twice() -> Tensor:
    """Return a matrix with three levels, each six times."""
    return symmetric(np.repeat([3.0, 2.0, 1.0], 6), 4)


def test_a_run_stays_out_of_what_it_is_told(twice: Tensor) -> None:
    """The run ends where only rounding is left, measured by the size of the whole operator."""
    A = DenseOperator(twice)
    rng = torch.Generator().manual_seed(0)
    space = RitzSpace.of(lanczos(A, torch.randn(18, generator=rng, dtype=torch.float64), 10))
    assert len(space.values) == 3  # all there is to see
    start = torch.randn(18, generator=rng, dtype=torch.float64)
    start = start - space.basis @ (space.basis.T @ start)
    rest = LanczosProcess(Remainder(A, space.basis), start, 12, space.basis, 3.0)
    rest.advance(12)
    run = rest.first(rest.steps)
    assert run.invariant
    assert len(run.alphas) == 3
    assert float(gram(space.basis, run.basis).abs().max()) < 1e-12
    assert run.scale == 3.0
    assert ends_of(run, 0.1).smallest.lower == pytest.approx(1, abs=1e-6)


def test_bounds_that_contradict_a_value_are_no_certificate(twice: Tensor) -> None:
    A = DenseOperator(twice)
    rng = torch.Generator().manual_seed(0)
    run = lanczos(A, torch.randn(18, generator=rng, dtype=torch.float64), 10)
    ends = ends_of(run, 0.1)
    wrong = Ends(ends.largest, ends.smallest.affine(1.0, 1.5))  # says that nothing lies below 2.5
    found = checked(FirstRun(A, RitzSpace.of(run), wrong, 0.1, 0.0, 1), 0, 12, patient=True)
    assert [v.status for v in found.values][2:] == [Status.INCONSISTENT] * 2
    for value in found.values:
        assert value.lower <= value.value <= value.upper


def test_nothing_but_rounding_ends_a_check_at_once() -> None:
    """A matrix of rank one is 0 outside the first space, and its rounding is measured by |A|."""
    A = DenseOperator(symmetric(np.r_[3.0, np.zeros(19)], 5))
    rng = torch.Generator().manual_seed(1)
    run = lanczos(A, torch.randn(20, generator=rng, dtype=torch.float64), 10)
    found = checked(FirstRun(A, RitzSpace.of(run), ends_of(run, 0.1), 0.1, 0.0, 1), 0, 12, patient=True)
    assert found.num_matvecs == run.num_matvecs + 1
    assert found.known


def test_ritz_vectors_come_from_both_runs(twice: Tensor) -> None:
    """The second copies are in the second run's space alone."""
    A = DenseOperator(twice)
    found = outermost_eigenvalues(A, 3, 1e-3, Effort(12, 12, 12))
    U = found.vectors
    values = torch.tensor([v.value for v in found.values], dtype=torch.float64)
    torch.testing.assert_close(values, torch.tensor([3.0, 3, 1, 1], dtype=torch.float64))
    torch.testing.assert_close(twice @ U, U * values, rtol=0, atol=1e-10)
    torch.testing.assert_close(U.T @ U, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-10)


def test_no_more_checks_than_the_confidence_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long first run has no more than CHECKS checks."""
    seen: list[int] = []

    def counted(first: FirstRun, seed: int, steps: int, patient: bool) -> Outermost:
        seen.append(len(first.space.coupling))
        return checked(first, seed, steps, patient)

    monkeypatch.setattr("scalecurv.linalg.krylov.outermost.checked", counted)
    monkeypatch.setattr("scalecurv.linalg.krylov.outermost._settled", lambda space, rtol: True)
    levels = np.linspace(-1, 1, 600)
    outermost_eigenvalues(DenseOperator(torch.diag(torch.from_numpy(levels))), 0, 1e-4, Effort(100, 60, 100))
    assert len(seen) == CHECKS
    assert seen[-1] == 100
