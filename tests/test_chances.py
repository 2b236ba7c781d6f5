"""Every chance that the code states: what its formula gives, how often it happens, and what the documents say of it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import erf
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import betaincinv
from scipy.stats import binom

from scalecurv.linalg.hutchinson import squared_norm_estimate
from scalecurv.linalg.krylov.eigenpairs import chance_of
from scalecurv.linalg.krylov.extremes import DELTA, FRESH, NOISE, START
from scalecurv.linalg.krylov.outermost import CHECKS
from scalecurv.linalg.modular_rank import SPARE, modular_ranks
from scalecurv.linalg.residues import NUM_PRIMES, share_that_divides
from scalecurv.linalg.singular_values import CHANCE as MISSED
from scalecurv.linalg.singular_values import NUM_TESTS
from scalecurv.measures import noise
from scalecurv.measures.curvature import semidefinite as definite
from scalecurv.measures.moments.exact import probed_estimate
from scalecurv.measures.moments.passes import ALIKE
from scalecurv.measures.moments.sampled import CERTIFICATES, EARLY_LOOKS
from scalecurv.measures.rank import exact as exact_rank
from scalecurv.problem.consistency import TOLERANCE
from scalecurv.problem.preflight import REDRAWS
from scalecurv.samples.stream import FETCHED_TWICE
from scalecurv.statistics.intervals import caution, mean_estimate
from tests.loops import each

DOCS = Path(__file__).parents[1] / "docs" / "quantities.md"
RISK = 1e-6  # with which a right formula falls out of its band
RUNS = [START / 2, *(chance_of(check) for check in range(1, 20))]  # of eigenpairs: the first run, and 19 checks
Rng = np.random.Generator
LOOK = (0.05 - CERTIFICATES) / len(EARLY_LOOKS)
SHARE = 0.1  # of a tensor's rows that a fault spoils
FEW = 3  # the prime of a small field, in which what is rare modulo a large one is seen


def below(c: float, vectors: int) -> float:
    """P(|z| <= 1/c)^m: the chance of caution c at rank 1."""
    return erf(1 / c / math.sqrt(2)) ** vectors


def shown(rng: Rng, trials: int, eigenvalues: list[float], vectors: int, c: float, trace: bool = False) -> int:
    """How often a symmetric E with these eigenvalues has a larger norm, or a larger trace too, than is said of it."""
    a = np.array(eigenvalues)
    z = rng.standard_normal((trials, vectors, len(a))) ** 2
    bound = c * np.sqrt((z @ a**2).max(1))
    over = math.sqrt((a**2).sum()) > bound
    if trace:
        over |= abs(a.sum()) > abs((z @ a).mean(1)) + bound
    return int(over.sum())


def overlap(rng: Rng, trials: int, delta: float | np.ndarray, starts: int = 1, n: int = 40) -> int:
    """How often one of several Gaussian starts in R^n has less of a direction than the certificate supposes."""
    first, others = rng.standard_normal((trials, starts)) ** 2, rng.chisquare(n - 1, (trials, starts))
    return int((first / (first + others) < betaincinv(0.5, (n - 1) / 2, delta)).any(1).sum())


def square(rng: Rng, trials: int) -> int:
    """tr A^2 of a projection of rank 1, four probes."""
    found = (squared_norm_estimate(s, 1.0, 1 - LOOK, "", 0) for s in rng.chisquare(1, (trials, 4)))
    return sum(not e.lower <= 1 <= e.upper for e in found)


def student(rng: Rng, trials: int, skewed: bool) -> int:
    samples = rng.standard_normal((trials, 32))
    found = (mean_estimate(s, "") for s in (samples**2 if skewed else samples))
    return sum(not e.lower <= skewed <= e.upper for e in found)


def plain(rng: Rng, trials: int) -> int:
    """Student's interval of 32 terms that are not widened for their skewness."""
    s = rng.chisquare(1, (trials, 32))
    return int((abs(s.mean(1) - 1) > 2.0395 * s.std(1, ddof=1) / math.sqrt(32)).sum())


def probed(rng: Rng, trials: int) -> int:
    """Two passes over 60 samples of unlike spread, normal terms: some 40 degrees of freedom, by Satterthwaite."""
    spread = np.linspace(0.5, 1.5, 60)
    found = (probed_estimate(rng.standard_normal((2, 60)) * spread) for _ in range(trials))
    return sum(not e.lower <= 0 <= e.upper for e in found)


def alike(rng: Rng, trials: int) -> int:
    """The form (1 + s)(1 + t)/4 of two signs, which is 0 three times in four, in as many passes as prove a number."""
    terms = rng.integers(2, size=(2, trials, ALIKE)).all(0)
    return int((terms == terms[:, :1]).all(1).sum())


def primes(rng: Rng, trials: int) -> int:
    """Two different primes of all, both among the first 3 % of them."""
    few = share_that_divides(22 * 8046.0) * NUM_PRIMES
    one, other = rng.integers(NUM_PRIMES, size=trials), rng.integers(NUM_PRIMES - 1, size=trials)
    return int(((one < few) & (other + (other >= one) < few)).sum())


def roots(rng: Rng, trials: int) -> int:
    """A polynomial of degree 4 modulo 101 that has as many roots as it may, at a random residue."""
    return int((rng.integers(101, size=trials) < 4).sum())


def combinations(rng: Rng, trials: int) -> int:
    """Random 5 x 4 matrices modulo 3: one row beyond the rank."""
    stack = torch.from_numpy(rng.integers(-1, 2, (trials, 5, 4)).astype(float))
    return int((modular_ranks(stack, FEW) < 4).sum())


def flips(rng: Rng, trials: int) -> int:
    twice = rng.integers(2, size=(2, trials, FETCHED_TWICE))
    return int((twice[0] == twice[1]).all(1).sum())


def drops(rng: Rng, trials: int) -> int:
    """Two passes over a batch that must be alike, then one over a few samples and REDRAWS that must be like it."""
    first, then = rng.random((trials, 2)) < 0.1, rng.random((trials, 1 + REDRAWS)) < 0.1
    return int(((first[:, 0] == first[:, 1]) & (then == then[:, :1]).all(1)).sum())


def apart(rng: Rng, trials: int) -> int:
    """One interval of level 99 %, and the truth itself for the other."""
    return int((abs(rng.standard_normal(trials)) > 2.5758293035489).sum())


@dataclass(frozen=True)
class Claim:
    """A chance: what a formula gives for what is simulated, and what is stated of it.

    `exact` says that the formula is no bound but the chance itself.
    """

    gives: float
    stated: float
    simulate: Callable[[Rng, int], int]
    trials: int
    exact: bool = True


N, J, R = noise.CAUTION, caution(NOISE, noise.SWEEPS), noise.CAUTION
SPECTRUM = [1.0, 0.03, -0.02, 0.01]
CLAIMS = {
    "norm of the rounding": Claim(below(N, 3), NOISE, lambda r, m: shown(r, m, [1], 3, N), 10**6),
    "norm of the residual part": Claim(below(R, 3), definite.CHANCE, lambda r, m: shown(r, m, [1], 3, R), 10**6),
    "norm, two equal eigenvalues, one vector": Claim(
        1 - math.exp(-1 / N**2), NOISE ** (1 / 3), lambda r, m: shown(r, m, [1, 1], 1, N), 10**6
    ),
    "norm or trace of the rounding": Claim(
        below(N, 3), NOISE, lambda r, m: shown(r, m, SPECTRUM, 3, N, True), 4 * 10**5, exact=False
    ),
    "norm of J where a softmax saturates": Claim(below(J, 8), NOISE, lambda r, m: shown(r, m, [1], 8, J), 10**6),
    "an end of the spectrum, first start": Claim(START, DELTA, lambda r, m: overlap(r, m, START), 10**6),
    "an end of the spectrum, after restarts": Claim(FRESH, DELTA, lambda r, m: overlap(r, m, FRESH), 10**6),
    "an outermost eigenvalue, all checks": Claim(
        1 - (1 - START) ** (1 + CHECKS), (1 + CHECKS) * DELTA, lambda r, m: overlap(r, m, START, 1 + CHECKS), 10**5
    ),
    "an end of the eigenpairs, all runs": Claim(
        1 - math.prod(1 - c for c in RUNS), DELTA, lambda r, m: overlap(r, m, np.array(RUNS), len(RUNS)), 10**5
    ),
    "a proven look at tr H^2": Claim(LOOK, LOOK, square, 4000, exact=False),
    "Student, 32 normal terms": Claim(0.05, 0.05, lambda r, m: student(r, m, False), 6000, exact=False),
    "Student, 32 terms chi^2_1, not widened": Claim(0.09, 0.09, plain, 10**5),
    "Student, 32 terms chi^2_1, widened": Claim(0.07, 0.07, lambda r, m: student(r, m, True), 6000),
    "Student, output probes": Claim(0.05, 0.05, probed, 6000),
    "terms that are equal by chance": Claim(0.75 ** (ALIKE - 1), 0.05, alike, 10**5, exact=False),
    "a sketch, two of ten tests": Claim(
        below(caution(MISSED, NUM_TESTS), 2), MISSED ** (2 / NUM_TESTS),
        lambda r, m: shown(r, m, [1], 2, caution(MISSED, NUM_TESTS)), 10**5,
    ),
    "two primes that hide a rank": Claim(share_that_divides(22 * 8046.0) ** 2, exact_rank.CHANCE, primes, 10**6),
    "a root at random": Claim(4 / 101, 4 / 101, roots, 10**5),
    "combinations of rows that hide a rank": Claim(
        1 - math.prod(1 - float(FEW) ** -i for i in range(2, 6)), 1 / FEW, combinations, 10**4
    ),
    "a coin in a dataset": Claim(0.5**FETCHED_TWICE, 4e-3, flips, 10**5),
    "a block dropped in one pass of ten": Claim(
        (0.9**2 + 0.1**2) * (0.9 ** (1 + REDRAWS) + 0.1 ** (1 + REDRAWS)), 1e-3, drops, 10**5
    ),
    "a fault of rank one in a tenth of H": Claim(
        below(SHARE / TOLERANCE, 1), 1e-3, lambda r, m: shown(r, m, [1], 1, SHARE / TOLERANCE), 10**5
    ),
    "two intervals that do not meet": Claim(1e-2, 2e-2, apart, 10**5),
}  # fmt: skip


def table() -> dict[str, tuple[float, float, int, int]]:
    """(what the formula gives, what is stated, how often it happened, trials) by claim, from the documents."""
    text = DOCS.read_text().split("## Chances")[1].split("\n## ")[0]
    number = r"`([\d.e+-]+)`"
    rows = re.findall(rf"^\| ([^|]+?) \| [^|]+ \| {number} \| {number} \| (\d+) of ([\d,]+) \|$", text, re.MULTILINE)
    return {n: (float(g), float(s), int(k), int(m.replace(",", ""))) for n, g, s, k, m in rows}


def consistent(claim: Claim, happened: int, trials: int) -> bool:
    most = binom.ppf(1 - RISK, trials, claim.gives if claim.exact else claim.stated)
    return (binom.ppf(RISK, trials, claim.gives) if claim.exact else 0) <= happened <= most


@each(name=CLAIMS)
def test_it_happens_as_often_as_the_formula_says_and_no_more_often_than_is_stated(name: str) -> None:
    claim = CLAIMS[name]
    happened = claim.simulate(np.random.default_rng(15), claim.trials)
    assert claim.gives <= claim.stated * (1 + 1e-9)
    assert happened <= binom.ppf(1 - RISK, claim.trials, claim.stated)
    assert consistent(claim, happened, claim.trials), (happened, claim.gives * claim.trials)


def test_the_documents_state_what_the_formulas_give() -> None:
    found = table()
    assert list(found) == list(CLAIMS)
    for name, claim in CLAIMS.items():
        gives, stated, happened, trials = found[name]
        assert (gives, stated) == (float(f"{claim.gives:.2g}"), float(f"{claim.stated:.2g}")), name
        assert consistent(claim, happened, trials), name


def test_what_an_end_quotes_has_room_for_all_that_can_fail() -> None:
    assert START + FRESH + NOISE <= DELTA * (1 + 1e-12)
    assert CERTIFICATES >= 4 * START + NOISE
    assert sum(RUNS) + NOISE <= DELTA
    assert (1 + CHECKS) * START + NOISE <= (1 + CHECKS) * DELTA
    assert len(EARLY_LOOKS) * LOOK + CERTIFICATES == pytest.approx(0.05)
    assert 2.0 ** (-22 * SPARE) < 1e-50  # combinations of rows, modulo primes above 2^22


def test_no_spectrum_does_worse_than_rank_one() -> None:
    """The proof's bound sqrt(2 t / pi), at loose chances, where it can be seen."""
    spectra: list[list[float]] = [[1], [1, 1], [1, -1], [1, 0.03], [1, 0.3], [1, *[0.003] * 20], [1] * 6]
    spectra.append([*0.5 ** np.arange(8)])
    rng = np.random.default_rng(1)
    for chance, vectors in ((0.05, 2), (0.01, 3), (0.03, 1)):
        c = caution(chance, vectors)
        worst = below(c, vectors)
        assert worst <= chance == pytest.approx(worst, rel=0.1)
        for eigenvalues in spectra:
            count = shown(rng, 40_000, eigenvalues, vectors, c, trace=vectors == 3)
            assert count <= binom.ppf(1 - RISK, 40_000, chance), (eigenvalues, count)
    assert caution(0.9, 1) == math.sqrt(5)  # where the proof begins
    for wrong in ((0.0, 3), (1.0, 3), (0.1, 0)):
        with pytest.raises(ValueError, match="give a chance between 0 and 1"):
            caution(*wrong)
