"""The outermost eigenvalues at every scale that float64 has room for and below, and when a run counts as settled."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.krylov import outermost as outermost_module
from scalecurv.linalg.krylov.outermost import Effort
from scalecurv.linalg.krylov.ritz import RitzSpace
from tests.linalg.krylov.test_outermost import LEVELS, missed, outermost, run


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e150])
def test_any_scale(scale: float) -> None:
    for name in ("twins", "flat"):
        one, other = (run(s * LEVELS[name], 1, Effort(20, 6, 20))[0] for s in (1.0, scale))
        assert [v.value / scale for v in other.values] == pytest.approx([v.value for v in one.values], rel=1e-6)
        assert missed([other], outermost(scale * LEVELS[name])) == 0


@pytest.mark.parametrize("scale", [1e-150, 1e-160, 1e-200, 1e-300])
def test_where_squares_vanish_nothing_is_claimed(scale: float) -> None:
    """Norms underflow below 1e-154, where a space looks invariant that is not."""
    for name in ("twins", "flat"):
        found, _ = run(scale * LEVELS[name], 1, Effort(20, 6, 20))
        assert missed([found], outermost(scale * LEVELS[name])) == 0
        assert not found.known


def test_the_gap_of_a_pair_is_that_to_the_third_value_of_its_end() -> None:
    """A residual r moves a Ritz value by r or r^2 / gap: 0.1 beside a gap of 0.001, within the tolerance beside 3."""
    for gap, settled in ((0.001, False), (3.0, True)):
        values = np.array([-10, -9, gap - 9, 0, 1, 9 - gap, 9, 10])
        for unsure in (1, -2):
            coupling = np.zeros(8)
            coupling[unsure] = 0.1
            space = RitzSpace(torch.eye(20)[:, :8], np.diag(values), coupling, torch.zeros(20), 8)
            assert outermost_module._settled(space, 1e-2) is settled
