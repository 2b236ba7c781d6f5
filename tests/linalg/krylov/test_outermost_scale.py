"""The outermost eigenvalues at every scale that float64 has room for, and below."""

import pytest

from scalecurv.linalg.krylov.outermost import Effort
from tests.linalg.krylov.test_outermost import LEVELS, missed, outermost, run


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e150])
def test_any_scale(scale: float) -> None:
    for name in ("twins", "flat"):
        one, other = (run(s * LEVELS[name], 1, Effort(20, 6, 20))[0] for s in (1.0, scale))
        assert [v.value / scale for v in other.values] == pytest.approx([v.value for v in one.values], rel=1e-6)
        assert missed([other], outermost(scale * LEVELS[name])) == 0


@pytest.mark.parametrize("scale", [1e-150, 1e-160, 1e-200, 1e-300])
def test_where_squares_vanish_nothing_is_claimed(scale: float) -> None:
    """Norms underflow below 1e-154: what looks like an invariant space is none."""
    for name in ("twins", "flat"):
        found, _ = run(scale * LEVELS[name], 1, Effort(20, 6, 20))
        assert missed([found], outermost(scale * LEVELS[name])) == 0
        assert not found.known
