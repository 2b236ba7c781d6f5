"""Both ends of a spectrum lie inside their certificates, and the status says how narrow these are."""

import numpy as np
import pytest
import torch

from scalecurv.estimate import Status
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.dense import DenseOperator
from scalecurv.linalg.extremes import extreme_eigenvalues
from tests.matrices import SPECTRA, symmetric


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("num_matvecs", [3, 10, 25, 80])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_truth_is_inside_at_any_budget(spectrum: str, num_matvecs: int, dtype: torch.dtype) -> None:
    A = symmetric(SPECTRA[spectrum]).to(dtype)
    truth = np.linalg.eigvalsh(A.double().numpy())
    operator = CountingOperator(DenseOperator(A))
    found = extreme_eigenvalues(operator, 1, 1e-3, num_matvecs)
    assert found.largest.lower <= truth[-1] <= found.largest.upper
    assert found.smallest.lower <= truth[0] <= found.smallest.upper
    for end in (found.largest, found.smallest):
        assert end.lower <= end.value <= end.upper
        assert end.num_matvecs == operator.num_matvecs <= num_matvecs
        assert end.num_samples == 1
        assert end.confidence == 1 - 1e-3
        assert np.isnan(end.stderr)  # a certificate is no sampling error


@pytest.mark.parametrize("rtol", [0.1, 1e-3, 1e-8])
def test_it_stops_once_both_ends_are_known(rtol: float) -> None:
    found = extreme_eigenvalues(DenseOperator(symmetric(SPECTRA["indefinite"])), 0, rtol, 80)
    assert found.largest.status is found.smallest.status is Status.CERTIFIED
    assert found.largest.halfwidth <= rtol * found.largest.value
    assert found.factorization.num_matvecs % 5 == 0
    shorter = extreme_eigenvalues(
        DenseOperator(symmetric(SPECTRA["indefinite"])), 0, rtol, found.factorization.num_matvecs - 5
    )
    assert Status.BUDGET in (shorter.largest.status, shorter.smallest.status)


def test_an_end_near_zero_is_asked_for_a_share_of_the_norm_and_says_so() -> None:
    operator = DenseOperator(symmetric(SPECTRA["outliers"]))
    found = extreme_eigenvalues(operator, 0, 1e-3, 40)
    norm = found.largest.value
    assert (found.largest.status, found.largest.method) == (Status.CERTIFIED, "lanczos")
    assert (found.smallest.status, found.smallest.method) == (Status.CERTIFIED, "lanczos, absolute tolerance 0.005")
    assert 1e-3 * abs(found.smallest.value) < found.smallest.halfwidth <= 1e-4 * norm  # relative to itself: hopeless
    assert found.smallest.lower <= min(SPECTRA["outliers"]) <= found.smallest.upper
    shorter = extreme_eigenvalues(operator, 0, 1e-3, found.factorization.num_matvecs - 5)
    assert shorter.smallest.status is Status.BUDGET
    assert shorter.smallest.halfwidth > 1e-4 * norm


def test_a_budget_too_small_is_said() -> None:
    found = extreme_eigenvalues(DenseOperator(symmetric(SPECTRA["power law"])), 0, 1e-12, 4)
    assert found.largest.status is Status.BUDGET
    assert found.largest.method == "lanczos"


@pytest.mark.parametrize(("c", "s"), [(2.0, 0.0), (0.5, 3.0), (-4.0, 1.0)])
def test_it_moves_with_the_matrix(c: float, s: float) -> None:
    A = symmetric(SPECTRA["indefinite"])
    plain = extreme_eigenvalues(DenseOperator(A), 3, 0.0, 12)
    moved = extreme_eigenvalues(DenseOperator(c * A + s * torch.eye(80)), 3, 0.0, 12)
    top, bottom = (plain.largest, plain.smallest) if c > 0 else (plain.smallest, plain.largest)
    assert moved.largest.value == pytest.approx(c * top.value + s, rel=1e-12)
    assert moved.smallest.value == pytest.approx(c * bottom.value + s, rel=1e-12)
    outer = c * (top.upper if c > 0 else top.lower) + s
    assert moved.largest.upper == pytest.approx(outer, rel=1e-9)


@pytest.mark.parametrize("value", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_multiple_of_the_identity_is_known_after_one_product(n: int, value: float) -> None:
    found = extreme_eigenvalues(DenseOperator(value * torch.eye(n, dtype=torch.float64)), 0, 0.01, 20)
    assert found.factorization.num_matvecs == 1
    for end in (found.largest, found.smallest):
        assert end.status is Status.CERTIFIED
        assert end.value == pytest.approx(value, rel=1e-14)
        assert end.halfwidth <= 1e-14 * abs(value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_exhausted_space_leaves_rounding_alone(dtype: torch.dtype) -> None:
    levels = torch.repeat_interleave(torch.tensor([-2.0, 0.5, 4.0], dtype=dtype), 300)
    found = extreme_eigenvalues(DenseOperator(torch.diag(levels)), 0, 1e-12, 20)
    assert found.factorization.invariant
    ulp = torch.finfo(dtype).eps * 4
    for end, truth in ((found.largest, 4), (found.smallest, -2)):
        assert end.lower <= truth <= end.upper
        assert end.halfwidth == pytest.approx(32 * ulp)


def test_the_seed_draws_the_start() -> None:
    operator = DenseOperator(symmetric(SPECTRA["power law"]))
    first, again, other = (extreme_eigenvalues(operator, seed, 0.0, 5) for seed in (0, 0, 1))
    assert first.largest == again.largest
    assert first.largest.value != other.largest.value
