"""Certificates of both ends over many starts fail no more often than their chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import betaincinv
from scipy.stats import binom

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.extremes import DELTA, START, Ends, certified_ends, ends_of, first_look, started
from scalecurv.linalg.krylov.lanczos import Lanczos
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric

STARTS, CHANCE = 250, 0.05  # of each end to lie outside: failures at the chance that is quoted would be too rare
SPECTRA_12 = {
    "one outlier each end": np.array([-5.0, *np.linspace(-0.1, 0.1, 10), 5.0]),
    "hardly apart": np.array([-1.01, *np.linspace(-1, 1, 10), 1.01]),
    "all positive": np.geomspace(0.01, 1, 12),
}


def ends(spectrum: str, steps: int) -> list[Ends]:
    operator = DenseOperator(torch.diag(torch.from_numpy(SPECTRA_12[spectrum])))  # a Gaussian start has no axes

    def run(seed: int) -> Lanczos:
        process = started(operator, seed, steps)
        process.advance(steps)
        return process.first(steps)

    return [ends_of(run(seed), 1e-3, delta=CHANCE) for seed in range(STARTS)]


def test_each_end_fails_no_more_often_than_it_says() -> None:
    failures = []
    for spectrum, steps in zip(SPECTRA_12, (1, 3, 2), strict=True):
        low, high = SPECTRA_12[spectrum].min(), SPECTRA_12[spectrum].max()
        most = binom.ppf(0.999, STARTS, CHANCE)
        found = ends(spectrum, steps)
        failures += [sum(not e.largest.lower <= high <= e.largest.upper for e in found)]
        failures += [sum(not e.smallest.lower <= low <= e.smallest.upper for e in found)]
        assert max(failures) <= most
        assert sum(e.norm < max(-low, high) for e in found) <= most
        assert all(e.largest.confidence == e.smallest.confidence == 1 - DELTA for e in found)
    assert max(failures) > 0  # with a bound that never fails there would be nothing to see


def test_the_start_is_gaussian_and_of_unit_length() -> None:
    """Independent signs would have the same share in every axis: no certificate could be built on that."""
    process = started(DenseOperator(symmetric(SPECTRA["flat"])), 3, 1, "some stream")
    process.advance(1)
    draw = probes(80, 3, "some stream", [0], "gaussian")
    torch.testing.assert_close(process.first(1).basis, draw / draw.norm(), rtol=1e-12, atol=0)


def test_a_certificate_of_one_step_is_as_wide_as_theory_says() -> None:
    """After one step p_1(t) = (t - alpha) / beta, against 1 / d: nothing wider is needed, nothing narrower is true."""
    operator = DenseOperator(torch.diag(torch.from_numpy(SPECTRA_12["hardly apart"])))
    reach = 1 / np.sqrt(betaincinv(0.5, 11 / 2, START))
    for seed in range(5):
        process = started(operator, seed, 1)
        process.advance(1)
        run = process.first(1)
        found = ends_of(run, 1e-3)
        assert found.largest.upper == pytest.approx(run.alphas[0] + run.betas[0] * reach, rel=1e-9)
        assert found.smallest.lower == pytest.approx(run.alphas[0] - run.betas[0] * reach, rel=1e-9)


def test_looks_are_one_step_apart_or_as_many_as_asked() -> None:
    five = [(5, *row) for row in [(40, 12, 15), (40, 15, 15), (13, 12, 13), (3, 0, 3), (40, 99, 40)]]
    for every, limit, least, expected in [*five, (1, 40, 12, 12), (1, 40, 0, 1), (1, 13, 99, 13), (2, 9, 5, 6)]:
        operator = CountingOperator(DenseOperator(symmetric(SPECTRA["indefinite"])))
        seen: list[int] = []

        def enough(run: Lanczos, seen: list[int] = seen, least: int = least) -> bool:
            seen.append(len(run.alphas))
            return len(run.alphas) >= least

        run = first_look(started(operator, 0, 40), enough, limit, every)
        assert len(run.alphas) == operator.num_matvecs == expected
        assert all(k % every == 0 or k == limit for k in seen)
        process = started(operator, 0, 40)
        process.advance(33)  # taken further before: the same answer
        again = first_look(process, enough, limit, every)
        assert torch.equal(again.basis, run.basis)


def test_looking_ends_with_the_space_or_the_room() -> None:
    def never(run: Lanczos) -> bool:
        return False

    three: LinearOperator = DenseOperator(torch.diag(torch.tensor([1.0, 2, 3, 3, 3, 3, 3], dtype=torch.float64)))
    run = first_look(started(three, 0, 7), never, 100)
    assert (len(run.alphas), run.invariant) == (3, True)
    assert len(first_look(started(DenseOperator(symmetric(SPECTRA["flat"])), 0, 10), never, 100).alphas) <= 10


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rounding_and_tolerances_are_shares_of_the_norm(sign: float) -> None:
    ends = certified_ends(
        *sorted((sign * -0.01, sign * 8.0)), *sorted((sign * -0.02, sign * 8.1)), 0.02, torch.float32, 9
    )
    far, near = (ends.largest, ends.smallest) if sign > 0 else (ends.smallest, ends.largest)
    slack = (32 + 9 / 8) * 2.0**-23 * 8  # an ulp more for every eighth product
    assert sorted((sign * far.lower, sign * far.upper)) == pytest.approx([8 - slack, 8.1 + slack], rel=1e-12)
    assert sorted((sign * near.lower, sign * near.upper)) == pytest.approx([-0.02 - slack, -0.01 + slack], rel=1e-12)
    assert (far.value, near.value) == (sign * 8, sign * -0.01)
    assert (far.method, near.method) == ("lanczos", "lanczos, absolute tolerance 0.016")
    assert ends.known
    assert ends.norm == pytest.approx(8.1 + slack, rel=1e-12)
    assert far.num_matvecs == near.num_matvecs == 9
    assert ends.charged(4) == Ends(replace(ends.largest, num_matvecs=13), replace(ends.smallest, num_matvecs=13))
