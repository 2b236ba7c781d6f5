"""How the Hessian products of one checkpoint are shared out: by rule, not by who comes first."""

from dataclasses import dataclass

from scalecurv.errors import Misuse

MIN_MATVECS = 16
MAX_LANCZOS = 100  # basis vectors; past this restarting would beat growing


@dataclass(frozen=True)
class Budget:
    """max_matvecs = 1 for the gradient + `lanczos` + `probes`, the same whichever measures are asked.

    `spectrum` has a budget of its own, of the same size, and the Jacobian's products are bounded by memory.
    """

    max_matvecs: int

    def __post_init__(self) -> None:
        if self.max_matvecs < MIN_MATVECS:
            raise Misuse(f"max_matvecs={self.max_matvecs} is too few to estimate anything; give at least {MIN_MATVECS}")

    @property
    def lanczos(self) -> int:
        return min(MAX_LANCZOS, self.max_matvecs // 4)

    def lanczos_within(self, memory: int, vector_bytes: int) -> int:
        """Steps whose basis stays inside `memory` bytes, 2 at least."""
        return min(self.lanczos, max(2, memory // vector_bytes))

    @property
    def probes(self) -> int:
        return self.max_matvecs - 1 - self.lanczos
