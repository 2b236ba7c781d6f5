"""Which road a measure may take, and what it may cost."""

from dataclasses import dataclass
from typing import Literal, get_args

from scalecurv.errors import Misuse
from scalecurv.mlp.block_norms import block_norms_cost
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP

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


Route = Literal["exact", "sampled", "generic", "dense"]
PRODUCT = 6  # multiplications of a Hessian product, a sample and a weight: forward, backward, and both derived
MATRICES = 8  # P x P in float64: H, its eigenvectors and those of the shape operator, and what LAPACK needs beside them


@dataclass(frozen=True)
class Strategy:
    """The options that trace, square and curvature share; equal plans share every intermediate.

    `route` None picks by cost. "exact" insists on exact sums over the structure of a piecewise-linear MLP, "sampled"
    takes its exact trace and samples tr H^2, "generic" assumes nothing about the model, "dense" writes H out.
    """

    rtol: float
    max_matvecs: int
    memory: int
    route: str | None = None

    def __post_init__(self) -> None:
        if self.route is not None and self.route not in get_args(Route):
            raise Misuse(f"unknown route {self.route!r}; choose from {', '.join(get_args(Route))}, or leave it out")

    @property
    def budget(self) -> Budget:
        return Budget(self.max_matvecs)

    def structure(self, problem: Problem) -> MLP | None:
        """The MLP whose identities may be used, or None.

        Raises Misuse where `exact` asks for what is not there, and where the road that costs least, or was asked for,
        needs samples in one place that are spread over ranks: another one would file another number under its key.
        """
        dense = self.dense_is_taken(problem)
        told = self.route in ("generic", "dense")
        mlp = None if told or problem.loss.factor is None else structure_of(problem)
        if mlp is None and self.route == "exact":
            raise Misuse("route 'exact' needs an MLP of piecewise-linear activations; leave the route out")
        if mlp is not None and not self.trace_is_exact(problem) and not dense:
            problem.shard.refuse("tr H from output probes", "give --route generic, or --plan checkpoints")
        if mlp is not None and self.square_is_exact(problem, mlp):
            problem.shard.refuse("tr H^2 by pairs of samples", "give --route sampled, or --plan checkpoints")
        return mlp

    def dense_is_taken(self, problem: Problem) -> bool:
        """Whether H is written out: in P products, where these and its matrices are inside what may be spent.

        Raises Misuse where `dense` asks for more than that.
        """
        if self.route not in (None, "dense"):
            return False
        P = problem.num_params
        size = dense_bytes(P)
        if self.route == "dense" and self.max_matvecs < P:
            raise Misuse(
                f"route 'dense' takes {P} products, one a parameter, and max_matvecs is {self.max_matvecs}; "
                f"give --max-matvecs {P}, or leave the route out"
            )
        if self.route == "dense" and self.memory < size:
            raise Misuse(
                f"route 'dense' needs {size} bytes for matrices of {P} x {P}, and memory is {self.memory}; "
                f"give --memory {size}, or leave the route out"
            )
        return self.max_matvecs >= P and self.memory >= size

    def trace_is_exact(self, problem: Problem) -> bool:
        """Whether one backward pass an output is worth it: as many as half of all products are."""
        return self.route == "exact" or problem.num_outputs <= self.max_matvecs // 2

    def square_is_exact(self, problem: Problem, mlp: MLP) -> bool:
        """Whether the sums over pairs of samples cost less than a quarter of all products, and fit into memory."""
        if self.route is not None:
            return self.route == "exact"
        flops, size = block_norms_cost(problem, mlp)
        weights = sum(a * b for a, b in zip(mlp.widths, mlp.widths[1:], strict=False))
        product = float(PRODUCT * problem.num_data * weights)
        return flops <= self.max_matvecs / 4 * product and size <= self.memory / 2


def dense_bytes(num_params: int) -> int:
    """What a Hessian that is written out takes, with its eigenvectors and all that is made of it."""
    return MATRICES * 8 * num_params**2
