"""The k outermost eigenpairs against matrices of known spectra, copies and ends of every kind included."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import binom

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov import eigenpairs as module
from scalecurv.linalg.krylov.eigenpairs import Pairs, outermost_eigenpairs, room_for
from scalecurv.linalg.krylov.enclosed import COARSE
from scalecurv.linalg.krylov.extremes import DELTA, ROUNDING
from scalecurv.statistics.estimate import Status
from tests.linalg.krylov.test_outermost import LEVELS as FEW

BULK = np.linspace(-1, 1, 90)
LEVELS = {
    **FEW,
    "ten copies": np.r_[np.repeat([9.0, 7, -4], 10), BULK],
    "clusters": np.r_[np.repeat([9.0, 7, -4], 5) * (1 + 1e-4 * np.arange(15)), BULK],
    "both signs": np.r_[6.0, -5.9, 4, -3.9, 2, -1.9, BULK / 2],
    "decaying": np.geomspace(10, 1e-3, 80),
}
KINDS = ("LA", "SA", "LM")


def truth(levels: np.ndarray, found: Pairs, which: str) -> np.ndarray:
    """Return the eigenvalues asked for in the order of `found`, as equal sizes of either sign may come first."""
    k, ordered = len(found.values), np.sort(levels)
    p = {"LA": k, "SA": 0}.get(which, sum(v.value >= 0 for v in found.values))
    tops, bottoms = iter(ordered[::-1][:p]), iter(ordered[: k - p])
    return np.array(
        [next(tops if which == "LA" or (which == "LM" and v.value >= 0) else bottoms) for v in found.values]
    )


def run(
    levels: np.ndarray,
    k: int,
    which: str,
    seed: int = 0,
    rtol: float = 1e-2,
    effort: tuple[int, int] = (200, 100),
    **more,
) -> tuple[Pairs, CountingOperator]:
    """Return the result for a diagonal matrix; a Gaussian start has no preferred axes."""
    dtype = more.pop("dtype", torch.float64)
    operator = CountingOperator(DenseOperator(torch.diag(torch.from_numpy(levels)).to(dtype)))
    return outermost_eigenpairs(operator, k, which, seed, rtol, *effort, **more), operator


def missed(levels: np.ndarray, found: Pairs, which: str) -> bool:
    return not all(v.lower <= t <= v.upper for v, t in zip(found.values, truth(levels, found, which), strict=True))


def test_values_vectors_and_costs_of_every_spectrum() -> None:
    for (name, levels), which, k in product(LEVELS.items(), KINDS, (1, 2, 5)):
        found, operator = run(levels, k, which)
        V, values = found.vectors, torch.tensor([v.value for v in found.values], dtype=torch.float64)
        assert not missed(levels, found, which), (name, which, k)
        assert {v.num_matvecs for v in found.values} == {found.num_matvecs} == {operator.num_matvecs}
        torch.testing.assert_close(V.T @ V, torch.eye(k, dtype=torch.float64), rtol=0, atol=1e-12)
        norm = float(abs(levels).max())
        off = (torch.from_numpy(levels)[:, None] * V - V * values).norm(dim=0)
        asked = 1e-2 * np.maximum(abs(values.numpy()), 0.1 * norm)
        doubt = which == "LM" and name in ("flat", "both signs") and k == 1  # 1 and -1 are equal in size
        if not doubt and name not in ("flat", "clusters"):
            assert {v.status for v in found.values} == {Status.CERTIFIED}, (name, which, k)
        if all(v.status is Status.CERTIFIED for v in found.values):
            assert (off.numpy() <= asked + 1e-12 * norm).all()
        sizes = abs(values) if which == "LM" else values * (1 if which == "LA" else -1)
        assert (sizes.diff() <= 1e-12 * norm).all()


def test_copies_are_found_by_runs_from_fresh_starts() -> None:
    """One run sees one copy of each eigenvalue: ten copies take ten runs, without which the tenth would be 7."""
    found, _ = run(LEVELS["ten copies"], 10, "LA")
    assert [v.value for v in found.values] == pytest.approx([9.0] * 10, rel=1e-2)
    assert found.num_checks >= 5
    second, _ = run(LEVELS["ten copies"], 2, "LA", effort=(40, 40))
    assert [v.value for v in second.values] == pytest.approx([9.0] * 2, rel=1e-2)
    assert second.num_checks >= 1


def test_small_matrices_are_known_altogether() -> None:
    for n in (1, 2, 3, 4, 7):
        for levels in (
            np.linspace(-2, 3, n),
            np.full(n, 2.0),
            np.zeros(n),
            np.r_[[7.0] * min(2, n), [1.0] * max(n - 2, 0)],
        ):
            for which, k in product(KINDS, range(1, n + 1)):
                found, _ = run(levels, k, which)
                assert not missed(levels, found, which)
                assert [v.value for v in found.values] == pytest.approx(truth(levels, found, which), abs=1e-12)
                assert found.num_matvecs <= n


def test_every_interval_holds_whatever_the_start() -> None:
    for effort, which in product(((12, 40), (40, 28)), KINDS):
        for name in ("twins", "flat", "clusters", "ten copies", "both signs"):
            seeds, k = 4, 5 if effort[0] > 12 else 3
            found = [run(LEVELS[name], k, which, seed, effort=effort)[0] for seed in range(seeds)]
            misses = sum(missed(LEVELS[name], f, which) for f in found)
            assert misses <= binom.ppf(0.999, seeds, 1 - found[0].confidence), (name, which, effort)
            assert all(v.lower <= v.value <= v.upper for f in found for v in f.values)
            assert {f.num_matvecs <= effort[0] for f in found} == {True}


def test_the_chance_to_miss_is_the_one_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a chance of 0.9 for both bounds together, intervals are short enough to miss, and miss no more often."""
    levels, seeds = np.r_[3.0, 3 * (1 - 1e-3), np.linspace(-1, 1, 40)], 60
    monkeypatch.setattr(module, "START", 0.9)
    missing = sum(missed(levels, run(levels, 2, "LA", seed, 1e-9, (9, 40))[0], "LA") for seed in range(seeds))
    assert 0 < missing <= binom.ppf(0.999, seeds, 0.9)
    monkeypatch.undo()
    assert not any(missed(levels, run(levels, 2, "LA", seed, 1e-9, (9, 40))[0], "LA") for seed in range(seeds // 3))


def test_the_confidence_covers_all_ends_that_were_used() -> None:
    for which, chance in (("LA", DELTA), ("SA", DELTA), ("LM", 2 * DELTA)):
        found, _ = run(LEVELS["apart"], 3, which)
        assert found.confidence == pytest.approx(1 - chance, abs=1e-15)
        assert {v.confidence for v in found.values} == {found.confidence}


def test_budget_means_wider_than_asked_and_holds() -> None:
    levels = np.linspace(-1, 1, 200)
    for which in KINDS:
        found, operator = run(levels, 5, which, effort=(30, 40), rtol=1e-4)
        assert not missed(levels, found, which)
        assert operator.num_matvecs == 30
        assert {v.status for v in found.values} == {Status.BUDGET}


def test_in_little_memory_it_restarts_and_holds() -> None:
    for name, which in product(("ten copies", "decaying", "both signs"), KINDS):
        found, _ = run(LEVELS[name], 3, which, effort=(400, room_for(3)))
        assert not missed(LEVELS[name], found, which)
        assert found.vectors.shape == (len(LEVELS[name]), 3)
        torch.testing.assert_close(
            found.vectors.T @ found.vectors, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12
        )


def test_noise_widens_and_is_not_fought_with_products() -> None:
    plain, noisy = (run(LEVELS["apart"], 3, "LA", noise=e)[0] for e in (0.0, 0.25))
    for a, b in zip(plain.values, noisy.values, strict=True):
        slack = ROUNDING * 2.0**-52 * 9 + 9 * 2.0**-52 * 10
        assert (b.lower, b.upper) == pytest.approx((a.lower - 0.25, a.upper + 0.25), abs=0.05)
        assert b.halfwidth >= a.halfwidth + 0.25 - slack
        assert b.status is Status.BUDGET
        assert COARSE in b.method
    assert noisy.num_matvecs <= plain.num_matvecs + 10
    single = run(LEVELS["decaying"], 5, "LA", dtype=torch.float32)[0]
    assert single.vectors.dtype == torch.float32
    assert not missed(LEVELS["decaying"].astype(np.float32).astype(np.float64), single, "LA")


def test_any_scale_and_the_same_bits_again() -> None:
    for scale in (1e-140, 1.0, 1e150):
        found, again = (run(scale * LEVELS["twins"], 3, "LM", 1)[0] for _ in range(2))
        assert found.values == again.values
        assert torch.equal(found.vectors, again.vectors)
        assert [v.value / scale for v in found.values] == pytest.approx([8, 8, -5], rel=1e-2)
        assert not missed(scale * LEVELS["twins"], found, "LM")


def test_a_zero_diagonal_is_no_zero_matrix() -> None:
    """The first Ritz value is 0 although the matrix is not."""
    A = torch.zeros(6, 6, dtype=torch.float64)
    A[0, 1] = A[1, 0] = 1.0
    found = outermost_eigenpairs(DenseOperator(A), 2, "LM", 0, 1e-2, 50, 50)
    assert sorted(v.value for v in found.values) == pytest.approx([-1, 1])


@pytest.mark.parametrize(("k", "effort"), [(0, (50, 50)), (21, (50, 50)), (5, (6, 50)), (3, (50, 12))])
def test_too_much_to_ask(k: int, effort: tuple[int, int]) -> None:
    wanted = f"^k={k} pairs of 20 x 20 take k from 1 to 20, {k + 2} products and {room_for(k)} vectors$"
    with pytest.raises(ValueError, match=wanted):
        run(LEVELS["flat"], k, "LA", effort=effort)
