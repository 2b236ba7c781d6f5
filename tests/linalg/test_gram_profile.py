"""The profile from J J' against singular values: counts, stable rank, participation ratio, and lower bounds of more."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.gram_profile import GramProfile, gram_profile
from scalecurv.statistics.estimate import Estimate, Status
from tests.matrices import rectangular

TAUS = (0.1, 1e-2, 1e-3, 1e-6)
TAUS_AS_WORDS = tuple(f"above {tau}" for tau in TAUS)


def spectrum(seed: int) -> tuple[tuple[int, int], np.ndarray]:
    """Return a shape and descending singular values of it, some of them next to a threshold."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 60))
    values = 10.0 ** rng.uniform(-8, 0, m)
    values[: len(values) // 3] = 10.0 ** rng.uniform(-1, 0, len(values) // 3)
    if m > 6:
        values[0], values[1:5] = 1.0, np.array(TAUS) * (1 + 10.0 ** rng.uniform(-14, -3, 4) * rng.choice([-1, 1], 4))
    return (m, m + int(rng.integers(0, 40))), np.sort(values)[::-1].copy()


def counted(found: GramProfile, tau: float, above: float = 0.0) -> Estimate:
    (count,) = found.counts((tau,), ("above",), above)
    return count


def test_intervals_hold_the_truth() -> None:
    sharp = 0
    for seed in range(60):
        shape, sigma = spectrum(seed)
        J = rectangular(*shape, sigma, seed)
        found = gram_profile(J @ J.T, shape[1], min(shape), seed)
        assert found.low - found.slack <= sigma[0] ** 2 <= found.high + found.slack
        assert found.high - found.low <= 1e-6 * found.low
        for tau in TAUS:
            count = counted(found, tau)
            sure = (
                (sigma > tau * sigma[0] * (1 + 1e-15) + 1e-15).sum(),
                (sigma > tau * sigma[0] * (1 - 1e-15) - 1e-15).sum(),
            )
            assert count.lower <= sure[0]
            assert count.upper >= sure[1]
            assert count.value == count.lower
            assert count.status is (Status.CONVERGED if count.lower == count.upper else Status.LOWER_BOUND)
            sharp += count.lower == count.upper
        squares = sigma**2
        for ratio, true in (
            (found.stable_rank("s"), squares.sum() / squares[0]),
            (found.participation_ratio("p"), squares.sum() ** 2 / (squares**2).sum()),
        ):
            assert ratio.lower * (1 - 1e-12) <= true <= ratio.upper * (1 + 1e-12)
            assert ratio.status is Status.CONVERGED
            assert ratio.value == pytest.approx(true, rel=1e-9)
    assert 80 < sharp < 4 * 60 - 30  # some are next to a threshold, where double precision cannot tell


def test_a_threshold_of_more_rows_gives_a_lower_bound_of_theirs() -> None:
    for seed in range(20):
        shape, sigma = spectrum(seed)
        J = rectangular(*shape, sigma, seed)
        part = J[: max(1, len(J) // 2)]
        found = gram_profile(part @ part.T, shape[1], len(part), seed)
        for tau in TAUS:
            known = (torch.linalg.svdvals(part) > tau * sigma[0] * (1 + 1e-9)).sum()
            count = counted(found, tau, sigma[0] ** 2)
            assert count.lower <= min((sigma > tau * sigma[0] * (1 - 1e-12)).sum(), len(part))
            assert count.upper >= known


def test_several_thresholds_at_once_give_the_intervals_of_each() -> None:
    for seed in range(30):
        shape, sigma = spectrum(seed)
        J = rectangular(*shape, sigma, seed)
        found = gram_profile(J @ J.T, shape[1], min(shape), seed)
        together = found.counts(TAUS, TAUS_AS_WORDS)
        for tau, word, count in zip(TAUS, TAUS_AS_WORDS, together, strict=True):
            alone = counted(found, tau)
            assert count.method == word
            assert max(count.lower, alone.lower) <= min(count.upper, alone.upper)
            assert count.lower >= alone.lower  # a larger tau bounds it too


def test_equal_singular_values_have_no_gap() -> None:
    for n in (2, 7, 130):
        found = gram_profile(4 * torch.eye(n, dtype=torch.float64), n, n, 0)
        assert counted(found, 0.5).value == n
        assert found.stable_rank("s").value == pytest.approx(n)
        assert found.participation_ratio("p").value == pytest.approx(n)


def test_zero_has_no_profile_and_what_is_not_finite_is_refused() -> None:
    found = gram_profile(torch.zeros(4, 4, dtype=torch.float64), 4, 4, 0)
    assert counted(found, 1e-2).value == counted(found, 1e-2).upper == 0
    assert found.stable_rank("s").status is found.participation_ratio("p").status is Status.NOT_APPLICABLE
    for wrong in (torch.nan, 1e200):
        with pytest.raises(FloatingPointError, match="not finite"):
            gram_profile(torch.full((3, 3), wrong, dtype=torch.float64), 3, 3, 0)


def test_squares_of_tiny_eigenvalues_do_not_underflow() -> None:
    for scale in (1e-76, 1e-80, 1e-140):
        J = scale * torch.diag(torch.tensor([1.0, 0.5, 1e-3], dtype=torch.float64))
        ratio = gram_profile(J @ J.T, 3, 3, 0).participation_ratio("p")
        assert ratio.lower <= 1.250001**2 / 1.062500000001 <= ratio.upper
