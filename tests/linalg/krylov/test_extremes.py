"""Both ends of a spectrum lie inside their certificates, and the status says how narrow these are."""

import numpy as np
import pytest
import torch
from scipy.special import betaincinv
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.extremes import START, extreme_eigenvalues
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import Status
from tests.matrices import SPECTRA, symmetric


def test_the_truth_is_inside_at_any_budget() -> None:
    for dtype in [torch.float64, torch.float32]:
        for num_matvecs in [3, 10, 25, 80]:
            for spectrum in SPECTRA:
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
    shorter = extreme_eigenvalues(
        DenseOperator(symmetric(SPECTRA["indefinite"])), 0, rtol, found.factorization.num_matvecs - 1
    )
    assert Status.BUDGET in (shorter.largest.status, shorter.smallest.status)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_end_does_not_wait_for_the_other(sign: float) -> None:
    """An outlier at one end is known long before the end of a bulk; the run is a prefix of that of both ends."""
    operator = DenseOperator(sign * symmetric(SPECTRA["outliers"]))
    far, near = ("largest", "smallest") if sign > 0 else ("smallest", "largest")
    both, one, other = (extreme_eigenvalues(operator, 2, 1e-6, 80, end=end) for end in (None, far, near))
    steps = one.factorization.num_matvecs
    assert steps < both.factorization.num_matvecs == other.factorization.num_matvecs
    assert np.array_equal(one.factorization.alphas, both.factorization.alphas[:steps])
    assert one.at(far).status is other.at(near).status is Status.CERTIFIED
    assert one.at(near).status is Status.BUDGET
    assert other.knows(near)
    assert not one.known
    assert extreme_eigenvalues(operator, 2, 1e-6, steps - 1, end=far).at(far).status is Status.BUDGET


def test_an_end_near_zero_is_asked_for_a_share_of_the_norm_and_says_so() -> None:
    operator = DenseOperator(symmetric(SPECTRA["outliers"]))
    found = extreme_eigenvalues(operator, 0, 1e-3, 40)
    norm = found.largest.value
    assert (found.largest.status, found.largest.method) == (Status.CERTIFIED, "lanczos")
    assert (found.smallest.status, found.smallest.method) == (Status.CERTIFIED, "lanczos, absolute tolerance 0.005")
    assert 1e-3 * abs(found.smallest.value) < found.smallest.halfwidth <= 1e-4 * norm  # relative to itself: hopeless
    assert found.smallest.lower <= min(SPECTRA["outliers"]) <= found.smallest.upper
    shorter = extreme_eigenvalues(operator, 0, 1e-3, found.factorization.num_matvecs - 1)
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


def reach(n: int) -> float:
    """Return 1 / d, where a start has a component below d in a given direction with probability START."""
    return float(1 / np.sqrt(betaincinv(0.5, (n - 1) / 2, START)))


def test_a_multiple_of_the_identity_takes_one_product() -> None:
    """A residual of 10 ulps remains: p_1(t) = (t - alpha) / beta reaches 1 / d at alpha + beta / d."""
    for dtype in [torch.float64, torch.float32]:
        for value in [-3.0, 0.0, 2.0]:
            for n in [1, 2, 30]:
                found = extreme_eigenvalues(DenseOperator(value * torch.eye(n, dtype=dtype)), 0, 0.01, 20)
                assert found.factorization.num_matvecs == 1
                ulp = torch.finfo(dtype).eps * abs(value)
                outside = 10 * ulp * reach(n) if n > 1 else 0.0  # of one dimension nothing is left
                for end, sign in ((found.largest, 1), (found.smallest, -1)):
                    assert end.status is Status.CERTIFIED
                    assert end.value == pytest.approx(value, rel=8 * torch.finfo(dtype).eps)
                    assert end.lower <= value <= end.upper
                    widths = sign * (end.upper - end.value), sign * (end.value - end.lower)
                    far, near = sorted(map(abs, widths), reverse=True)
                    assert far == pytest.approx(
                        32 * ulp + outside, rel=0.02, abs=1e-12 * abs(value)
                    )  # where bisection ends
                    assert near == pytest.approx(32 * ulp, rel=0.02, abs=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_exhausted_space_leaves_ten_ulps_of_residual_open(dtype: torch.dtype) -> None:
    """Three levels after three products: prod (t - level) / prod beta reaches 1 / d next to the outermost two."""
    levels = np.array([-2.0, 0.5, 4.0])
    operator = DenseOperator(torch.diag(torch.repeat_interleave(torch.from_numpy(levels).to(dtype), 300)))
    found = extreme_eigenvalues(operator, 0, 1e-12, 20)
    run, eps = found.factorization, torch.finfo(dtype).eps
    assert run.invariant
    assert run.num_matvecs == 3
    last = 10 * eps * max(abs(run.alphas).max(), run.betas.max())
    assert run.betas[-1] < last
    height = reach(900) * run.betas[0] * run.betas[1] * last
    slack = 32 * eps * 4
    for end, truth in ((found.largest, 4.0), (found.smallest, -2.0)):
        slope = abs(np.prod(truth - levels[levels != truth]))
        assert end.lower <= truth <= end.upper
        outer = end.upper - end.value if truth > 0 else end.value - end.lower
        inner = end.value - end.lower if truth > 0 else end.upper - end.value
        assert outer == pytest.approx(slack + height / slope, rel=0.04, abs=4e-12)  # to first order in outer / gap
        assert inner == pytest.approx(slack, rel=0.02, abs=0)


class Bump(LinearOperator):
    """The operator I + d uu' in float32, u a random unit vector."""

    symmetric = True
    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, n: int, d: float):
        self.shape, self.d = (n, n), d
        u = probes(n, 0, "bump", [0], "gaussian")
        self.u = (u / u.norm()).float()

    def _matmat(self, V: Tensor) -> Tensor:
        return V + self.d * (self.u @ (self.u.T @ V))


def test_a_bump_below_what_a_residual_can_show_is_inside() -> None:
    """Where the start has 1/100 of the bump's direction the residual 1e-6 counts as zero; lambda_max is 1e-4 above."""
    operator = Bump(10_000, 1e-4)
    missed_by_ritz_values = 0
    for seed in range(10):
        found = extreme_eigenvalues(operator, seed, 1e-6, 20)
        for end, truth in ((found.largest, 1 + 1e-4), (found.smallest, 1.0)):
            assert end.lower <= truth <= end.upper
        assert found.factorization.invariant
        missed_by_ritz_values += found.largest.value < 1 + 0.5e-4
    assert missed_by_ritz_values >= 5  # or there would be nothing to see


def test_the_seed_draws_the_start() -> None:
    operator = DenseOperator(symmetric(SPECTRA["power law"]))
    first, again, other = (extreme_eigenvalues(operator, seed, 0.0, 5) for seed in (0, 0, 1))
    assert first.largest == again.largest
    assert first.largest.value != other.largest.value
