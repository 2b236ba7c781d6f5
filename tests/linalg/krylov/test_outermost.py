"""Two eigenvalues at each end lie in their intervals over many starts, for single and repeated eigenvalues."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import binom

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov import outermost_check
from scalecurv.linalg.krylov.extremes import DELTA, ROUNDING, Ends, started
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.outermost import CHECKS, STREAM, Effort, outermost_eigenvalues
from scalecurv.linalg.krylov.outermost_check import FirstRun, Outermost, checked
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.statistics.estimate import Estimate, Status

N, SEEDS = 20, 60
BULK = np.linspace(-1, 1, N - 6)
LEVELS = {
    "apart": np.concatenate([[9.0, 6, 3, -2, -4, -7], BULK]),
    "twins": np.concatenate([[8.0, 8, 3, -2, -5, -5], BULK]),
    "triplets": np.concatenate([[8.0, 8, 8, -5, -5, -5], BULK]),
    "all but twins": np.concatenate([[8.0, 8 - 1e-9, 8 - 2e-9, -5, -5 + 1e-9, -5 + 2e-9], BULK]),
    "positive": np.geomspace(1e-3, 1, N),
    "negative": -np.linspace(0.1, 1, N),
    "identity": np.full(N, 3.0),
    "minus identity": np.full(N, -3.0),
    "zero": np.zeros(N),
    "rank one": 4 * np.eye(N)[0],
    "rank two": 4 * np.eye(N)[0] - 2 * np.eye(N)[1],
    "two levels": np.repeat([1.0, 0.0], N // 2),
    "flat": np.linspace(-1, 1, N) ** 3,
}


def outermost(levels: np.ndarray) -> np.ndarray:
    """Return the outermost four levels from the largest to the smallest, or all where there are fewer than four."""
    ordered = np.sort(levels)[::-1]
    return ordered if len(levels) < 4 else ordered[[0, 1, -2, -1]]


def run(
    levels: np.ndarray, seed: int, effort: Effort, rtol: float = 1e-2, dtype: torch.dtype = torch.float64, **more: float
) -> tuple[Outermost, int]:
    """Return the result and the products for a diagonal matrix; a Gaussian start has no preferred axes."""
    operator = CountingOperator(DenseOperator(torch.diag(torch.from_numpy(levels)).to(dtype)))
    return outermost_eigenvalues(operator, seed, rtol, effort, **more), operator.num_matvecs


def missed(found: list[Outermost], truth: np.ndarray) -> int:
    return sum(not all(v.lower <= t <= v.upper for v, t in zip(o.values, truth, strict=True)) for o in found)


def test_every_interval_holds_whatever_the_start() -> None:
    """Every value is a Ritz value too, so that the j-th is on the inner side of the j-th eigenvalue."""
    for effort in [Effort(12, 6, 12), Effort(3, 2, 3), Effort(16, 4, 6)]:
        for name in LEVELS:
            seeds = SEEDS if effort.steps == 3 and name in ("twins", "positive", "flat", "rank two") else SEEDS // 15
            truth, found = outermost(LEVELS[name]), [run(LEVELS[name], seed, effort)[0] for seed in range(seeds)]
            assert missed(found, truth) <= binom.ppf(0.999, seeds, 1 - min(o.confidence for o in found))
            slack = ROUNDING * 2.0**-52 * abs(truth).max()
            for o in found:
                values = np.array([v.value for v in o.values])
                assert (values[:2] <= truth[:2] + slack).all()
                assert (values[2:] >= truth[2:] - slack).all()
                assert all(v.lower <= v.value <= v.upper for v in o.values)
                (confidence,) = {v.confidence for v in o.values}
                assert confidence <= 1 - 2 * DELTA


def test_small_matrices_are_known_altogether() -> None:
    """Each eigenvalue is found once, also where there are fewer than four."""
    for n in [1, 2, 3, 4, 5, 6, 7]:
        for kind in ["spread", "identity", "zero", "twins"]:
            levels = {
                "spread": np.linspace(-2, 3, n),
                "identity": np.full(n, 2.0),
                "zero": np.zeros(n),
                "twins": np.r_[[7.0] * min(2, n), [1.0] * max(n - 2, 0)],
            }[kind]
            for seed in range(3):
                found, spent = run(levels, seed, Effort(10, 10, 10))
                assert [v.value for v in found.values] == pytest.approx(outermost(levels), rel=1e-12, abs=1e-12)
                assert missed([found], outermost(levels)) == 0
                assert found.known
                assert {v.num_matvecs for v in found.values} == {spent}
                assert spent <= 2 * n


def test_a_copy_is_found_by_the_second_run() -> None:
    """The first run cannot see it: its own space holds one vector of each eigenspace."""
    for name in ["twins", "triplets", "identity", "minus identity", "two levels", "rank two"]:
        for seed in range(5):
            found = run(LEVELS[name], seed, Effort(9, 18, 9), rtol=0.05)[0]
            assert (np.diff(found.space.values) > 1e-9).all()
            truth = outermost(LEVELS[name])
            assert [v.value for v in found.values] == pytest.approx(truth, rel=0.01, abs=0.01)
            assert found.known


def test_certified_means_narrow_enough() -> None:
    """A value is certified exactly where its interval is within rtol |value|, or rtol |A| / 10 near zero."""
    for rtol in [0.5, 0.1, 1e-2, 1e-4]:
        for name in ["apart", "twins", "positive", "flat", "zero"]:
            for seed in range(3):
                found = run(LEVELS[name], seed, Effort(14, 6, 14), rtol)[0]
                norm = max(abs(v.value) for v in found.values)
                for v in found.values:
                    asked = rtol * max(abs(v.value), 0.1 * norm)
                    assert v.status is (Status.CERTIFIED if v.halfwidth <= asked else Status.BUDGET)
                assert found.known is all(v.status is Status.CERTIFIED for v in found.values)


def test_the_chance_to_fail_is_that_of_all_checks_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is checked several times and stops at a good check, so that all possible checks count."""
    levels, checks, seen = np.concatenate([[100.0, 50, -100, -50], np.linspace(-1, 1, 56)]), [0], set()

    def counted(first: FirstRun, seed: int, steps: int, patient: bool) -> Outermost:
        checks[0] += 1
        return checked(first, seed, steps, patient)

    monkeypatch.setattr("scalecurv.linalg.krylov.outermost.checked", counted)
    for steps, check in ((10, 1), (15, 2), (22, 2), (40, 2), (40, 20)):
        checks[0] = 0
        found = run(levels, 0, Effort(steps, check, steps), 1e-3)[0]
        assert [v.confidence for v in found.values] == pytest.approx([1 - (1 + CHECKS) * DELTA] * 4, rel=1e-12)
        assert found.confidence == pytest.approx(1 - 2 * (1 + CHECKS) * DELTA, rel=1e-12)
        assert checks[0] <= CHECKS
        seen.add(checks[0])
    assert {1, 2} <= seen


def test_no_gap_runs_out_of_products_and_says_so() -> None:
    levels = np.linspace(-1, 1, 60)
    for seed in range(6):
        found, spent = run(levels, seed, Effort(12, 6, 12), rtol=1e-4)
        assert {v.status for v in found.values} == {Status.BUDGET}
        assert spent == 18
        assert not found.known
        assert missed([found], outermost(levels)) == 0


def test_no_product_is_taken_beyond_the_effort_and_each_is_counted() -> None:
    for steps, check, vectors in [
        (12, 6, 12),
        (1, 1, 1),
        (2, 1, 9),
        (20, 12, 4),
        (20, 5, 6),
        (30, 8, 8),
        (40, 10, 12),
        (6, 1, 6),
        (30, 24, 30),
    ]:
        for seed, (name, rtol) in enumerate(product(("apart", "twins", "flat"), (1e-2, 1e-9))):
            found, spent = run(np.concatenate([LEVELS[name]] * 2), seed, Effort(steps, check, vectors), rtol)
            assert spent <= steps + check
            assert {v.num_matvecs for v in found.values} == {spent}
            assert found.space.num_matvecs < spent
            assert {v.method.split(", absolute")[0] for v in found.values} == {"lanczos, checked by a second run"}


def test_checks_that_fail_do_not_overdraw() -> None:
    levels = np.concatenate([[100.0, 50, -100, -50], np.linspace(-1, 1, 56)])
    for steps, check in ((40, 1), (40, 2), (60, 3)):
        assert max(run(levels, seed, Effort(steps, check, steps), rtol=1e-3)[1] for seed in range(3)) <= steps + check


def test_in_little_memory_it_restarts_and_holds() -> None:
    """The space that is left is half of what there is room for, and no fewer than the four that are asked for."""
    levels = np.concatenate([LEVELS["apart"], np.linspace(-1, 1, 60)])
    for seed, vectors in product(range(5), (4, 6, 8, 12)):
        found, spent = run(levels, seed, Effort(60, 20, vectors), rtol=1e-2)
        assert missed([found], outermost(levels)) == 0
        assert spent <= 80
        assert found.known or vectors < 8
        if vectors < 8:  # else the run is short enough
            assert len(found.space.values) == 4
            assert found.space.num_matvecs > vectors


@pytest.mark.parametrize(("left", "vectors"), [(1, 8), (0, 8), (9, 3)])
def test_with_too_little_room_nothing_is_restarted(left: int, vectors: int) -> None:
    found = run(LEVELS["flat"], 0, Effort(vectors + left, 3, vectors), rtol=1e-9)[0]
    assert len(found.space.values) == found.space.num_matvecs == vectors
    if vectors == 8:
        assert len(run(LEVELS["flat"], 0, Effort(10, 3, 8), rtol=1e-9)[0].space.values) == 4


@pytest.mark.parametrize("noise", [0.0, 1e-20, 0.25])
def test_noise_widens_every_interval_at_both_sides(noise: float) -> None:
    plain, noisy = (run(LEVELS["apart"], 2, Effort(12, 6, 12), 1e-16, noise=e)[0] for e in (0.0, noise))
    slack = ROUNDING * 2.0**-52 * 9
    for a, b in zip(plain.values, noisy.values, strict=True):
        wider = max(noise - slack, 0.0)
        assert (b.value, b.lower, b.upper) == pytest.approx((a.value, a.lower - wider, a.upper + wider), rel=1e-12)
    found = run(np.zeros(5), 0, Effort(5, 5, 5), 1e-2, noise=noise)[0]
    assert [(v.lower, v.upper) for v in found.values] == [(-noise, noise)] * 4


def test_single_precision() -> None:
    """The interval includes 32 ulps of |A| for rounding."""
    for name in LEVELS:
        truth = outermost(LEVELS[name].astype(np.float32).astype(np.float64))
        found = [run(LEVELS[name], seed, Effort(20, 6, 20), 1e-3, torch.float32)[0] for seed in range(2)]
        assert missed(found, truth) == 0
        for v in found[0].values:
            assert v.halfwidth >= ROUNDING * 2.0**-23 * abs(truth).max() / 2


def test_what_the_first_space_cannot_see_is_bounded_by_the_check() -> None:
    """A space without the outermost eigenvectors, and no other bound: the second run finds them or leaves room."""
    levels = np.concatenate([[9.0, -9.0, 5, 4, -4, -5], BULK])
    operator, blind = DenseOperator(torch.diag(torch.from_numpy(levels))), torch.ones(N, dtype=torch.float64)
    blind[:2] = 0
    space = RitzSpace.of(lanczos(operator, blind, 8))
    nowhere = Estimate.enclosed(0.0, -np.inf, np.inf, "", Status.BUDGET)
    for steps in (1, 2, 6):
        first = FirstRun(operator, space, Ends(nowhere, nowhere), 1e-2, 0.0, 1)
        found = [checked(first, seed, steps, patient=True) for seed in range(20)]
        assert missed(found, outermost(levels)) == 0
        assert {v.num_matvecs for o in found for v in o.values} == {8 + steps}
        assert all(o.values[0].value > 5.1 for o in found) is (steps == 6)
    impatient = [checked(first, seed, 12, patient=False) for seed in range(5)]
    assert {o.values[0].num_matvecs for o in impatient} == {8 + 5}  # the coupled copies could not close


def test_the_first_run_bounds_the_very_ends_too() -> None:
    """A check of one step is wide, and the polynomial of the first run gives the narrower bound."""
    levels = np.concatenate([[90.0, 60, -40, -80], np.linspace(-1, 1, 56)])
    found = run(levels, 0, Effort(12, 1, 12), rtol=1e-9)[0]
    assert found.values[0].upper - 90 < 1e-3
    assert found.values[-1].lower + 80 > -1e-3
    assert all(v.upper <= found.values[0].upper and v.lower >= found.values[-1].lower for v in found.values)


def test_same_seed_same_bits_and_other_streams_than_the_ends() -> None:
    first, again = (run(LEVELS["flat"], 7, Effort(8, 4, 8))[0] for _ in range(2))
    assert first.values == again.values
    assert torch.equal(first.space.basis, again.space.basis)
    assert first.values != run(LEVELS["flat"], 8, Effort(8, 4, 8))[0].values
    process = started(DenseOperator(torch.diag(torch.from_numpy(LEVELS["flat"]))), 7, 8, STREAM)
    process.advance(8)
    assert torch.equal(first.space.basis, RitzSpace.of(process.first(8)).basis)
    assert outermost_check.STREAM != STREAM
