"""The corrected chain holds at every interpolation solution; the printed one does not."""

from itertools import pairwise, product

import numpy as np
import pytest

from scalecurv.geometry.chain import LINKS, Link, Verdict, chain, chain_verdict, stored_verdict

DRAWS = 4_000


def exactly(*eigenvalues: float) -> tuple[Link, ...]:
    t = np.array(eigenvalues)
    T, F, lam, r = float(t.sum()), float((t**2).sum()), float(max([*t, 0])), float(np.sum(t > 0))
    return chain((T, T), (F, F), (lam, lam), (r, r))


def formulas(t: np.ndarray) -> tuple[list[float], float]:
    """Return the six links and K in float64, from the eigenvalues."""
    T, F, lam, r = t.sum(), (t**2).sum(), t.max(), np.sum(t > 0)
    links = [T * (T - lam), T**2 - lam**2 - (T - lam) ** 2 / (r - 1), (1 - 1 / r) * T**2]
    links += [(r - 1) * F, (r - 1) * lam * T, r * (r - 1) * lam**2]
    return links, T**2 - F


def drawn(seed: int) -> np.ndarray:
    """Return 2 to 8 positive eigenvalues of any spread, many of them equal."""
    rng = np.random.default_rng(seed)
    r = rng.integers(2, 9)
    t = 10.0 ** rng.uniform(-2, 2, r)
    kind = rng.integers(0, 4)
    t = np.full(r, t[0]) if kind == 0 else np.concatenate([t[:1] + 100, np.full(r - 1, t[1])]) if kind == 1 else t
    return t * 10.0 ** rng.uniform(-6, 6)


def test_it_holds_for_every_semidefinite_matrix() -> None:
    for seed in range(DRAWS):
        t = drawn(seed)
        links, K = formulas(t)
        found = exactly(*t)
        assert [link.verdict for link in found] == ["holds"] * 6, t
        values = [link.value for link in found]
        slack = 1e-12 * t.sum() ** 2
        assert all(abs(a - b) <= slack + 1e-12 * abs(b) for a, b in zip(values, links, strict=True)), t
        order = [0.0, values[0], K, *values[1:]]
        assert all(a <= b + 1e-12 * abs(order[-1]) for a, b in pairwise(order)), t


def test_equal_eigenvalues_attain_it() -> None:
    found = exactly(2.0, 2.0, 2.0)
    assert [link.value for link in found] == pytest.approx([24.0] * 6, rel=1e-12)  # K = 36 - 12
    assert {link.verdict for link in found} == {"holds"}
    assert all(link.lower == link.value == link.upper for link in found)


def test_all_but_the_first_equal_attain_the_second() -> None:
    found = exactly(5.0, 2.0, 2.0, 2.0)
    assert found[1].value == pytest.approx(11**2 - 37, rel=1e-12)
    assert found[0].value < found[1].value < found[2].value


def test_the_counterexample_of_the_printed_theorem() -> None:
    """H = diag(2, 2) + zeros has K = 8, above the printed (r - 1) T = 4 and below every link of the proof."""
    found = exactly(2.0, 2.0)
    assert [link.value for link in found] == [8.0] * 6
    assert {link.verdict for link in found} == {"holds"}
    printed = (2 - 1) * 4.0
    assert printed < found[3].value == 16 - 8
    halved = exactly(1.0, 1.0)  # with 1 / 2N: (r - 1) F = 2 > (r - 1) lambda^2 = 1, r (r - 1) lambda^2 = 2 = K
    assert [link.value for link in halved] == [2.0] * 6


def test_rank_one_and_rank_zero_have_no_curvature() -> None:
    for eigenvalues in ((), (3.0,), (1e6,), (1e-9,)):
        found = exactly(*eigenvalues)
        assert [link.value for link in found] == [0.0] * 6
        assert {link.verdict for link in found} == {"holds"}


def test_numbers_that_no_matrix_has_violate_it() -> None:
    for T, F, lam, r, violated in [
        (4.0, 9.0, 2.0, 4.0, [0, 4]),  # F > lambda T
        (3.0, 3.0, 1.0, 2.0, [1, 3, 5]),  # three equal ones are not of rank 2
        (2.0, 3.0, 2.0, 1.0, [1]),  # K > 0 at rank 1
        (4.0, 4.0, 3.0, 4.0, [1]),  # lambda^2 > F
        (1.0, 2.0, 3.0, 3.0, [0, 1]),  # lambda > T
        (-1.0, 1.0, 1.0, 2.0, [0, 1, 4]),  # T < 0
    ]:
        found = chain((T, T), (F, F), (lam, lam), (r, r))
        assert [link.verdict for link in found] == ["violated" if i in violated else "holds" for i in range(6)]


@pytest.mark.parametrize("excess", [1e-12, 1e-6])
def test_a_violation_begins_where_rounding_ends(excess: float) -> None:
    F = 12 * (1 + excess)  # of diag(2, 2, 2), where F = lambda T
    found = chain((6.0, 6.0), (F, F), (2.0, 2.0), (3.0, 3.0))
    assert found[0].verdict == found[4].verdict == ("holds" if excess < 1e-9 else "violated")


def test_wide_intervals_leave_it_undecided() -> None:
    found = chain((5.0, 7.0), (10.0, 14.0), (1.5, 2.5), (3.0, 3.0))
    assert [link.verdict for link in found] == [
        "undecided",
        "undecided",
        "holds",
        "undecided",
        "undecided",
        "undecided",
    ]
    corners = list(product((5.0, 7.0), (10.0, 14.0), (1.5, 2.5)))
    for link, (_, value) in zip(found, LINKS, strict=True):
        assert link.lower < link.value < link.upper
        assert link.formula
        assert callable(value)
    assert (found[3].lower, found[3].upper) == (20, 28)
    assert found[0].lower == min(T * (T - lam) for T, _, lam in corners)
    assert (found[5].lower, found[5].upper) == (6 * 1.5**2, 6 * 2.5**2)
    assert found[4].value == 2 * 2.0 * 6.0  # at the middles


def test_an_unsure_rank_takes_its_lower_end_for_the_value() -> None:
    found = chain((6.0, 6.0), (14.0, 14.0), (3.0, 3.0), (3.0, 8.0))
    assert (found[3].value, found[3].lower, found[3].upper) == (28, 28, 98)
    assert [link.verdict for link in found] == ["holds"] * 6


def test_wide_intervals_that_no_matrix_fits_are_a_violation() -> None:
    found = chain((2.9, 3.1), (2.9, 3.1), (0.95, 1.05), (2.0, 2.0))
    assert [found[i].verdict for i in (1, 3, 5)] == ["violated"] * 3


def test_narrow_intervals_around_a_matrix_never_violate() -> None:
    for seed in range(300):
        t = drawn(seed)
        low, high = np.random.default_rng(seed).uniform(0, 0.01, (2, 3))
        parts = zip((t.sum(), (t**2).sum(), t.max()), low, high, strict=True)
        found = chain(*((x * (1 - a), x * (1 + b)) for x, a, b in parts), (float(len(t)), float(len(t))))
        assert "violated" not in [link.verdict for link in found], seed


def test_an_interval_of_lambda_around_equality_is_no_violation() -> None:
    found = chain((4.0, 4.0), (4.0, 4.0), (0.9, 1.1), (4.0, 4.0))  # the identity of rank 4
    assert found[1].verdict == "undecided"
    assert found[1].lower <= 12 <= found[1].upper


def test_an_interval_of_the_trace_around_zero_is_no_violation() -> None:
    found = chain((-3.0, 3.0), (0.5, 0.5), (0.5, 0.5), (2.0, 2.0))  # diag(1/2, 1/2): T = 1
    assert "violated" not in [link.verdict for link in found]


def test_the_chain_is_as_good_as_its_links() -> None:
    for verdicts, expected in (
        (("holds",) * 6, "holds"),
        (("holds", "undecided"), "undecided"),
        (("undecided", "violated", "holds"), "violated"),
        (("holds", "violated"), "violated"),
        (("not_applicable",) * 6, "not_applicable"),
        (("violated", "not_applicable"), "not_applicable"),
    ):
        assert chain_verdict(map(Verdict, verdicts)) is Verdict(expected)


def test_a_verdict_is_read_as_it_was_written() -> None:
    for verdict in ("holds", "violated", "undecided"):
        assert stored_verdict(f"T (T - lambda): {verdict}") is Verdict(verdict)  # as in stores of the first release
    assert stored_verdict("the chain needs mse and an exact fit: max |f - y| <= 1e-6") is Verdict.NOT_APPLICABLE
    for link in exactly(3.0, 2.0, 1.0):
        assert link.method == f"{link.formula}: holds"
        assert stored_verdict(link.method) is link.verdict
