"""Both ends stay certified in bounded memory, over many starts, for repeated and for hidden eigenvalues."""

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.extremes import FRESH, ROUNDING, STREAM, extreme_eigenvalues, started
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.restarted_extremes import Restarted, restarted_extremes
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import Status
from tests.matrices import symmetric

N, SEEDS = 40, 80
CHANCE = 0.05  # of the fresh start: at the one that is quoted failures would be too rare to count
BULK = np.linspace(-1, 1, N - 3)
LEVELS = {
    "double top": np.concatenate([[8.0, 8.0, -5.0], BULK]),
    "hidden top": np.concatenate([[8.0, 4.0, -5.0], BULK]),
    "no gap": np.linspace(-1, 1, N) ** 3,
}


def run(levels: np.ndarray, seed: int, budget: int, rtol: float = 1e-3, size: int = 8, noise: float = 0.0) -> Restarted:
    """Return the ends after a first run of 6 steps, whose start lacks the top eigenvector where that is hidden."""
    operator = DenseOperator(torch.diag(torch.from_numpy(levels)))
    start = probes(N, seed, STREAM, [0], "gaussian")[:, 0].clone()
    if levels is LEVELS["hidden top"]:
        start[0] = 0
    space = RitzSpace.of(lanczos(operator, start, 6))
    return restarted_extremes(operator, space, seed, rtol, size, budget, noise)


def test_both_ends_are_inside_whatever_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.linalg.krylov.restarted_extremes.FRESH", CHANCE)
    most = binom.ppf(0.999, SEEDS, CHANCE)
    for name, levels in LEVELS.items():
        found = [run(levels, seed, 12).ends for seed in range(SEEDS)]
        assert sum(not e.largest.lower <= levels.max() <= e.largest.upper for e in found) <= most
        assert sum(not e.smallest.lower <= levels.min() <= e.smallest.upper for e in found) <= most
        if name == "hidden top":  # inside although no vector found it
            assert all(e.largest.value < 4 + 1e-9 for e in found)
            assert all(e.largest.status is Status.BUDGET for e in found)
        assert all(e.largest.num_matvecs == e.smallest.num_matvecs <= 6 + 12 for e in found)


SEVERAL = {
    **LEVELS,
    "all equal": np.full(N, 3.0),
    "rank one": -4 * np.eye(N)[0],
    "positive": np.geomspace(1e-6, 1, N),
    "two levels": np.repeat([1.0, -1.0], N // 2),
    "random": np.random.default_rng(3).standard_normal(N),
}


def test_the_truth_is_inside_at_the_chance_that_is_quoted() -> None:
    """The certificate holds at every spectrum, for small spaces and for the whole space."""
    for levels in SEVERAL.values():
        for size, budget in ((4, 2), (8, 12), (12, 40), (64, 100)):
            for seed in range(4):
                e = run(levels, seed, budget, rtol=1e-6, size=size).ends
                assert e.largest.lower <= e.largest.value <= e.largest.upper
                assert e.largest.lower <= levels.max() <= e.largest.upper
                assert e.smallest.lower <= levels.min() <= e.smallest.upper


def test_noise_widens_both_intervals_at_both_sides() -> None:
    plain, noisy = (run(LEVELS["no gap"], 0, 12, noise=noise).ends for noise in (0.0, 0.25))
    for a, b in ((plain.largest, noisy.largest), (plain.smallest, noisy.smallest)):
        assert (b.value, b.num_matvecs) == (a.value, a.num_matvecs)
        assert (b.lower, b.upper) == pytest.approx((a.lower - 0.25, a.upper + 0.25), abs=1e-12)


def test_a_gap_makes_it_narrow() -> None:
    """The bound is above the Ritz value by about |c|^2 / (theta - mu), far less than the residual |c|."""
    levels = np.concatenate([[30.0, -20.0], np.linspace(-1, 1, N - 2)])
    found = run(levels, 0, 30, rtol=1e-6)
    assert found.ends.known
    assert found.ends.largest.value == pytest.approx(30, rel=1e-12)
    assert found.ends.largest.halfwidth <= 1e-6 * 30
    assert found.ends.smallest.halfwidth <= 1e-6 * 20


def test_the_bounds_are_those_of_the_bordered_matrix() -> None:
    """They are the ends of [[Theta, c], [c', mu]], mu the bound of the dense remainder from the fresh start."""
    for budget, check in [(8, 2), (13, 3), (40, 4)]:
        for name in ["no gap", "double top"]:
            found = run(LEVELS[name], 3, budget, rtol=0.0)
            space = found.space
            R = torch.eye(N, dtype=torch.float64) - space.basis @ space.basis.T
            dense = R @ torch.diag(torch.from_numpy(LEVELS[name])) @ R
            rest = extreme_eigenvalues(DenseOperator((dense + dense.T) / 2), 3, 0.0, check, "remainder start", FRESH)
            small = np.linalg.eigh(space.projected)[1]
            arrow = np.diag([*space.values, 0.0])
            arrow[-1, :-1] = arrow[:-1, -1] = space.coupling @ small
            slack = ROUNDING * 2.0**-52 * abs(space.values[[0, -1]]).max()
            arrow[-1, -1] = rest.largest.upper
            assert found.ends.largest.upper == pytest.approx(np.linalg.eigvalsh(arrow)[-1] + slack, rel=1e-9)
            arrow[-1, -1] = rest.smallest.lower
            assert found.ends.smallest.lower == pytest.approx(np.linalg.eigvalsh(arrow)[0] - slack, rel=1e-9)


def test_products_are_counted_and_bounded() -> None:
    for rtol in [0.0, 1e-3]:
        for size, budget in [(4, 2), (8, 3), (8, 20), (12, 60), (64, 100)]:
            operator = CountingOperator(DenseOperator(symmetric(LEVELS["no gap"])))
            process = started(operator, 0, 6)
            process.advance(6)
            found = restarted_extremes(operator, RitzSpace.of(process.first(6)), 0, rtol, size, budget)
            assert (
                found.ends.largest.num_matvecs == found.ends.smallest.num_matvecs == operator.num_matvecs <= 6 + budget
            )
            assert found.space.basis.shape[1] <= max(size // 2, 2)


def relation(A: Tensor, space: RitzSpace) -> float:
    Q, T, c = space.basis, torch.from_numpy(space.projected), torch.from_numpy(space.coupling)
    return float((A @ Q - Q @ T - space.residual[:, None] * c).abs().max())


def test_it_leaves_a_space_to_go_on_with() -> None:
    found = run(LEVELS["no gap"], 0, 30)
    assert relation(torch.diag(torch.from_numpy(LEVELS["no gap"])), found.space) <= 1e-12
    assert found.ends.largest.value == found.space.values[-1]
    assert found.ends.smallest.value == found.space.values[0]


def test_it_stops_early_once_both_ends_are_sharp() -> None:
    levels = np.concatenate([[30.0, -20.0], np.linspace(-1, 1, N - 2)])
    few, many = run(levels, 0, 60, rtol=1e-2), run(levels, 0, 60, rtol=1e-8)
    assert few.ends.known
    assert few.ends.largest.num_matvecs < many.ends.largest.num_matvecs < 66
    assert few.space.residuals[[0, -1]].max() <= 1e-2 / 10 * 30


def test_it_goes_on_until_the_ritz_pairs_are_ten_times_sharper_than_asked() -> None:
    levels = np.linspace(-1, 1, N)
    found = run(levels, 0, 100, rtol=1e-2)
    products = found.ends.largest.num_matvecs
    assert found.space.residuals[[0, -1]].max() <= 1e-3
    assert products < 6 + 100
    shorter = run(levels, 0, products - 6 - 4, rtol=1e-2)  # a cycle less
    assert 1e-3 < shorter.space.residuals[[0, -1]].max() < 0.1


def test_another_stream_than_the_first_start() -> None:
    """The certificate needs a start that is independent of the space, hence another stream."""
    found = run(LEVELS["no gap"], 5, 12)
    first = probes(N, 5, STREAM, [0], "gaussian")[:, 0]
    rest = probes(N, 5, "remainder start", [0], "gaussian")[:, 0]
    assert abs(float(first @ rest)) < 4 * float(first.norm())
    again = run(LEVELS["no gap"], 5, 12)
    assert found.ends == again.ends
