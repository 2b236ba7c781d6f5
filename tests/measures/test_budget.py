"""The products of one checkpoint are shared out by rule."""

import re

import pytest

from scalecurv.errors import Misuse
from scalecurv.measures.budget import Budget


@pytest.mark.parametrize(("total", "lanczos", "probes"), [(16, 4, 11), (100, 25, 74), (1000, 100, 899)])
def test_the_shares_add_up(total: int, lanczos: int, probes: int) -> None:
    budget = Budget(total)
    assert (budget.lanczos, budget.probes) == (lanczos, probes)
    assert 1 + budget.lanczos + budget.probes == total


def test_too_few_is_said() -> None:
    wanted = "max_matvecs=15 is too few to estimate anything; give at least 16"
    with pytest.raises(Misuse, match=f"^{re.escape(wanted)}$"):
        Budget(15)
