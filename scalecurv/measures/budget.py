"""How the Hessian products of one checkpoint are shared out: by rule, not by who comes first."""

from dataclasses import dataclass

from scalecurv.errors import Misuse

MIN_MATVECS = 24
MAX_LANCZOS = 100  # basis vectors; past this restarting would beat growing
MAX_CHECK = 8
MIN_VECTORS = 4


@dataclass(frozen=True)
class Budget:
    """max_matvecs = 8 (gradient, spot check) + `lanczos` + `check` + `probes`, whichever measures are asked.

    At an exact fit the bounds take six more. `spectrum`, `principal` and `gauss_newton` have budgets of their own, of
    the same size: 1 + `lanczos` + `outer_check` + `check_probes` + 2 `planes`, and `ggn_steps` + `ggn_probes` +
    2 (`residual_steps` + `residual_probes`). The Jacobian's products are bounded by memory.

    Where H is written out its P products, no more than max_matvecs, stand for `lanczos`, `check` and `probes`, and for
    all that `spectrum` and `principal` have of their own but one product; `gauss_newton` takes P of G as well.
    """

    max_matvecs: int

    def __post_init__(self) -> None:
        if self.max_matvecs < MIN_MATVECS:
            raise Misuse(f"max_matvecs={self.max_matvecs} is too few to estimate anything; give at least {MIN_MATVECS}")

    @property
    def lanczos(self) -> int:
        """Steps of the run that the ends of the spectrum and the deflated subspace are read from."""
        return min(MAX_LANCZOS, self.max_matvecs // 4)

    @property
    def check(self) -> int:
        """Steps of the run from a fresh start that bounds what the subspace leaves out."""
        return min(MAX_CHECK, self.max_matvecs // 8)

    @property
    def probes(self) -> int:
        return self.max_matvecs - 8 - self.lanczos - self.check

    @property
    def outer_check(self) -> int:
        """Steps of the runs that bound what the space of the shape operator leaves out."""
        return min(40, max(1, self.max_matvecs // 16))

    @property
    def check_probes(self) -> int:
        """Probes of the cross-check of the scalar curvature."""
        return min(128, max(3, self.max_matvecs // 8))

    @property
    def planes(self) -> int:
        """Planes at random, two products each."""
        return min(32, max(2, self.max_matvecs // 16))

    @property
    def ggn_steps(self) -> int:
        """Steps of the run on the Gauss-Newton matrix."""
        return max(1, self.lanczos // 2)

    @property
    def ggn_probes(self) -> int:
        """Probes of its trace outside the space of that run."""
        return max(2, self.probes // 2)

    @property
    def residual_steps(self) -> int:
        """Steps of the run on H - G, two products each."""
        return max(1, self.lanczos // 4)

    @property
    def residual_probes(self) -> int:
        """Probes of |H - G|_F^2 outside the space of that run, two products each."""
        return max(2, self.probes // 4)

    def vectors(self, memory: int, vector_bytes: int) -> int:
        """Vectors that one Krylov space may hold: all of `lanczos`, or a third of what fits, so that it can restart."""
        room = memory // vector_bytes
        return self.lanczos if room > self.lanczos else max(MIN_VECTORS, room // 3)
