"""The eigenvalues of largest size from intervals at both ends: which they are, and where that is not decided."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.linalg.krylov.in_size import UNDECIDED, in_size, largest_in_size, possible_splits
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import Tolerance

TOLERANCE = Tolerance(0.01, 1.0)


def certain(value: float, off: float = 0.0) -> Estimate:
    return Estimate.enclosed(value, value - off, value + off, "given", Status.CERTIFIED)


def ends(levels: np.ndarray, k: int, off: float = 0.0) -> tuple[list[Estimate], list[Estimate]]:
    ordered = np.sort(levels)
    return [certain(v, off) for v in ordered[::-1][:k]], [certain(v, off) for v in ordered[:k]]


def splits(ordered: np.ndarray, k: int) -> list[int]:
    """Return each p for which the p largest are >= 0, the k - p smallest <= 0, and all these the k largest in size."""
    sizes, n = np.abs(ordered), len(ordered)
    members = {p: [*range(n - p, n), *range(k - p)] for p in range(k + 1)}
    return [
        p
        for p, chosen in members.items()
        if sizes[chosen].min() >= np.delete(sizes, chosen).max(initial=0.0)
        and (ordered[chosen[:p]] >= 0).all()
        and (ordered[chosen[p:]] <= 0).all()
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9), st.data())
def test_they_are_those_of_the_sorted_sizes(levels: list[int], data: st.DataObject) -> None:
    """Eigenvalues that each possible choice has are certain; one that x and -x compete for may be either."""
    k = data.draw(st.integers(1, len(levels)))
    ordered = np.sort(np.array(levels, dtype=float))
    chosen, possible = in_size(*ends(ordered, k), TOLERANCE), splits(ordered, k)
    assert [abs(e.value) for e, _ in chosen] == sorted(np.abs(ordered))[::-1][:k]
    assert len({place for _, place in chosen}) == k
    for estimate, place in chosen:
        certain = place < min(possible) if place >= 0 else -1 - place < k - max(possible)
        size = 0.0 if certain else float(abs(estimate.value))
        assert (estimate.lower, estimate.upper) == ((-size, size) if size else (estimate.value, estimate.value))
        assert estimate.status is (Status.BUDGET if size else Status.CERTIFIED)
        assert (UNDECIDED in estimate.method) is (size > 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), st.floats(0, 3), st.data())
def test_intervals_that_hold_allow_the_true_split(levels: list[float], off: float, data: st.DataObject) -> None:
    """Intervals of any width around the truth, with values anywhere in them."""
    k = data.draw(st.integers(1, len(levels)))
    moved = [data.draw(st.floats(-off, off)) for _ in range(2 * k)]
    tops, bottoms = ends(np.array(levels), k)
    tops = [certain(e.value + m, off) for e, m in zip(tops, moved[:k], strict=True)]
    bottoms = [certain(e.value + m, off) for e, m in zip(bottoms, moved[k:], strict=True)]
    least, most = possible_splits(tops, bottoms, slack=1e-9)
    assert least <= largest_in_size(np.sort(np.array(levels)), k) <= most


def test_members_in_doubt_only_about_their_order_are_members() -> None:
    """5 and -5.001 are the two largest in size, whichever comes first; 3 and -3 compete for the third place."""
    tops, bottoms = ends(np.array([5.0, 3, 1, -1, -3, -5.001]), 2, off=0.01)
    assert [e for e, _ in in_size(tops, bottoms, TOLERANCE)] == [bottoms[0], tops[0]]
    tops, bottoms = ends(np.array([5.0, 3, 1, -1, -3, -5.001]), 3, off=0.01)
    third, place = in_size(tops, bottoms, TOLERANCE)[2]
    assert (third.lower, third.upper, third.status) == (-3.01, 3.01, Status.BUDGET)
    assert place in (1, -2)


def test_doubt_within_the_tolerance_is_none() -> None:
    """Around zero the sign is not known, and the absolute tolerance is met all the same."""
    tops, bottoms = ends(np.array([100.0, 0.001, -0.001]), 2, off=0.002)
    second, _ = in_size(tops, bottoms, Tolerance(0.01, 10.0))[1]
    assert second.status is Status.CERTIFIED
    assert (second.lower, second.upper) == (-0.003, 0.003)
