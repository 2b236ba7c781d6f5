"""The products of one checkpoint are shared out by rule."""

import re

import pytest

from scalecurv.errors import Misuse
from scalecurv.measures.route import Budget
from tests.loops import each


@each(
    ("total", "lanczos", "check", "probes"),
    [(24, 6, 3, 7), (50, 12, 6, 24), (100, 25, 8, 59), (200, 50, 8, 134), (1000, 100, 8, 884)],
)
def test_the_shares_add_up(total: int, lanczos: int, check: int, probes: int) -> None:
    budget = Budget(total)
    assert (budget.lanczos, budget.check, budget.probes) == (lanczos, check, probes)
    assert 8 + lanczos + check + probes == total


@each(("room", "vectors"), [(101, 25), (26, 25), (25, 15), (12, 6), (8, 4), (7, 4), (1, 4), (0, 4), (24, 14)])
def test_vectors_are_those_of_the_run_or_what_a_restart_has_room_for(room: int, vectors: int) -> None:
    """The run keeps one vector more than it takes steps; a restart holds 1.5 times its size, and two more."""
    assert Budget(100).vectors(room * 800 + 799, 800) == vectors


def test_too_few_is_said() -> None:
    wanted = "max_matvecs=23 is too few to estimate anything; give at least 24"
    with pytest.raises(Misuse, match=f"^{re.escape(wanted)}$"):
        Budget(23)
    assert Budget(24).max_matvecs == 24
