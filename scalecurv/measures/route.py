"""The routes by which a measure may compute, and how the budget of products is divided."""

from dataclasses import dataclass
from typing import Literal, get_args

from scalecurv.affine.recognise import affine_tensors
from scalecurv.errors import Misuse
from scalecurv.measures.sample_forms import check_from_samples
from scalecurv.mlp.block_norms import block_norms_cost
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_number
from scalecurv.problem.structure import MLP

MIN_MATVECS = 24  # the least budget that has products for every part
MAX_LANCZOS = 100  # basis vectors; beyond this a restart costs less than a larger basis
MAX_CHECK = 8  # steps of the run that bounds what a subspace leaves out
MIN_VECTORS = 4  # basis vectors with which a run can restart
PRODUCT = 6  # multiplications of a Hessian product for each sample and weight: forward, backward, and their derivatives
MATRICES = 8  # P x P in float64: H, its eigenvectors and those of the shape operator, and what LAPACK needs beside them

Route = Literal["exact", "sampled", "generic", "dense"]


@dataclass(frozen=True)
class Budget:
    """The division of `max_matvecs` Hessian products: 8 (gradient, spot check) + `lanczos` + `check` + `probes`.

    The default measures share these, and the bounds on K take six more at an exact fit. Fresh probes of tr H, where it
    is not exact, take at most half of `probes`, and tr H^2 the others. Three measures have a budget of
    their own of the same size: `spectrum`; `principal`, of `lanczos` + `outer_check` + `check_probes` + 2 `planes`;
    and `gauss_newton`, of `ggn_steps` + `ggn_probes` + 2 (`residual_steps` + `residual_probes`). Memory bounds the
    products with the Jacobian.

    Where H is written out, its P <= max_matvecs products take the place of `lanczos`, `check` and `probes`, and of the
    own budgets of `spectrum` and `principal`; `gauss_newton` takes P products with G too. Raises Misuse where
    `max_matvecs` is below 24.

    Example:
        >>> budget = Budget(1024)
        >>> budget.lanczos, budget.check, budget.probes
        (100, 8, 908)
    """

    max_matvecs: int

    def __post_init__(self) -> None:
        if self.max_matvecs < MIN_MATVECS:
            raise Misuse(f"max_matvecs={self.max_matvecs} is too few to estimate anything; give at least {MIN_MATVECS}")

    @property
    def lanczos(self) -> int:
        """Return the steps of the run that gives the ends of the spectrum and the deflated subspace."""
        return min(MAX_LANCZOS, self.max_matvecs // 4)

    @property
    def check(self) -> int:
        """Return the steps of the run from a fresh start that bounds what the subspace leaves out."""
        return min(MAX_CHECK, self.max_matvecs // 8)

    @property
    def probes(self) -> int:
        """Return the number of Hutchinson's probes."""
        return self.max_matvecs - 8 - self.lanczos - self.check

    @property
    def outer_check(self) -> int:
        """Return the steps of the runs that bound what the space of the outermost principal curvatures leaves out."""
        return min(40, max(1, self.max_matvecs // 16))

    @property
    def check_probes(self) -> int:
        """Return the number of probes of the cross-check of the scalar curvature."""
        return min(128, max(3, self.max_matvecs // 8))

    @property
    def planes(self) -> int:
        """Return the number of random planes, each of which takes two products."""
        return min(32, max(2, self.max_matvecs // 16))

    @property
    def ggn_steps(self) -> int:
        """Return the steps of the Lanczos run on the Gauss-Newton matrix G."""
        return max(1, self.lanczos // 2)

    @property
    def ggn_probes(self) -> int:
        """Return the number of probes of tr G outside the space of the run on G."""
        return max(2, self.probes // 2)

    @property
    def residual_steps(self) -> int:
        """Return the steps of the Lanczos run on H - G, each of which takes two products."""
        return max(1, self.lanczos // 4)

    @property
    def residual_probes(self) -> int:
        """Return the number of probes of |H - G|_F^2, each of which takes two products."""
        return max(2, self.probes // 4)

    def vectors(self, memory: int, vector_bytes: int) -> int:
        """Return the number of vectors that a Krylov space may hold: `lanczos` where all fit into the memory.

        Else a restart holds half as many Ritz vectors beside them, and two more: for v vectors in memory it is
        2 (v - 2) / 3, and at least 4.
        """
        room = memory // vector_bytes
        return self.lanczos if room > self.lanczos else max(MIN_VECTORS, (room - 2) * 2 // 3)


@dataclass(frozen=True)
class Strategy:
    """The tolerance, the budget and the route of a measure; equal strategies share all intermediate values.

    rtol: the relative half-width of intervals at which sampling ends.
    max_matvecs: the largest number of Hessian products.
    memory: the bytes that Krylov bases and matrices may take.
    route: "exact" for exact sums over the structure of a piecewise-linear MLP; "sampled" for a trace that is exact
        where structure gives it, and a sampled tr H^2; "generic" for no assumption about the model; "dense" for H
        written out, column by column; None for the cheapest that applies.
    from_samples: the number of samples that tr H^2 and the ends of the spectrum of the whole loss are estimated from;
        None for all of them.

    Raises Misuse for an unknown route, fewer than 16 samples, and samples with a route that takes all of them.
    """

    rtol: float
    max_matvecs: int
    memory: int
    route: str | None = None
    from_samples: int | None = None

    def __post_init__(self) -> None:
        for name in ("rtol", "max_matvecs", "memory"):
            check_number(name, getattr(self, name))
        if self.route is not None and self.route not in get_args(Route):
            raise Misuse(f"unknown route {self.route!r}; choose from {', '.join(get_args(Route))}, or leave it out")
        check_from_samples(self.from_samples)
        if self.from_samples is not None and self.route not in (None, "sampled"):
            raise Misuse(
                f"route {self.route!r} takes all samples, and from_samples is {self.from_samples}; "
                f"leave one of them out"
            )

    @property
    def budget(self) -> Budget:
        """Return the division of `max_matvecs`; raises Misuse where it is too small."""
        return Budget(self.max_matvecs)

    def sample_of(self, problem: Problem) -> int | None:
        """Return `from_samples` where it is given and the problem has more samples; None where all of them are taken.

        Raises Misuse where samples are spread over ranks.
        """
        if self.from_samples is None or self.from_samples >= problem.num_data:
            return None
        problem.shard.refuse("an estimate from a sample", "leave --from-samples out, or give --plan checkpoints")
        return self.from_samples

    def structure(self, problem: Problem) -> MLP | None:
        """Return the MLP whose exact sums the route may use; None where the route or the model rules them out.

        Raises Misuse where the route "exact" is given for another model. Raises Misuse also where samples are spread
        over ranks and the route needs all of them on one: a different route would store another number under its key.
        """
        dense = self.dense_is_taken(problem)
        unused = self.route in ("generic", "dense")
        mlp = None if unused or problem.loss.factor is None else structure_of(problem)
        if mlp is None and self.route == "exact":
            raise Misuse("route 'exact' needs an MLP of piecewise-linear activations; leave the route out")
        if mlp is not None and not self.trace_is_exact(problem) and not dense:
            problem.shard.refuse("tr H from output probes", "give --route generic, or --plan checkpoints")
        if mlp is not None and self.square_is_exact(problem, mlp):
            problem.shard.refuse("tr H^2 by pairs of samples", "give --route sampled, or --plan checkpoints")
        return mlp

    def dense_is_taken(self, problem: Problem) -> bool:
        """Return True where H is written out: with route None or "dense", if max_matvecs and memory allow it.

        It is not where numbers come from a sample of the data, as each of its P products takes all of them.
        Raises Misuse where the route "dense" is given and they do not.
        """
        if self.route not in (None, "dense") or self.sample_of(problem) is not None:
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

    def trace_is_known(self, problem: Problem) -> bool:
        """Return True where tr H is found without the deflated space: by structure, or by probes of its own."""
        return self.route != "generic" and not self.dense_is_taken(problem)

    def fresh_tensors(self, problem: Problem) -> tuple[str, ...]:
        """Return the names of the parameters over which tr H is sampled by fresh probes: those that bend the outputs.

        They are all where output probes need D x D numbers a sample, and none where tr H is not sampled."""
        if not self.trace_is_known(problem) or self.structure(problem) is not None:
            return ()
        wide = problem.loss.mixed is None and not self.trace_is_exact(problem)
        return tuple(name for name in problem.space.shapes if wide or name not in affine_tensors(problem))

    def trace_products(self, problem: Problem) -> int:
        """Return the most products of fresh probes of tr H: half of the budget's probes, 0 where none are taken."""
        return self.budget.probes // 2 if self.fresh_tensors(problem) else 0

    def square_products(self, problem: Problem) -> int:
        """Return the number of probes of tr H^2: those of the budget that are not of tr H alone."""
        return self.budget.probes - self.trace_products(problem)

    def trace_is_exact(self, problem: Problem) -> bool:
        """Return True where tr H is summed exactly.

        It is with the route "exact", and where the backward passes, one an output, are at most half of the budget.
        """
        return self.route == "exact" or problem.num_outputs <= self.max_matvecs // 2

    def square_is_exact(self, problem: Problem, mlp: MLP) -> bool:
        """Return True where tr H^2 is summed exactly over pairs of samples.

        With a given route it is so for "exact" only; without one, where the sums cost at most a quarter of the budget
        and take at most half of the memory. It is not where numbers come from a sample of the data.
        """
        if self.sample_of(problem) is not None:
            return False
        if self.route is not None:
            return self.route == "exact"
        flops, size = block_norms_cost(problem, mlp)
        weights = sum(a * b for a, b in zip(mlp.widths, mlp.widths[1:], strict=False))
        product = float(PRODUCT * problem.num_data * weights)
        return flops <= self.max_matvecs / 4 * product and size <= self.memory / 2


def dense_bytes(num_params: int) -> int:
    """Return the bytes of a Hessian that is written out, with its eigenvectors and the shape operator: 64 P^2.

    Example:
        >>> dense_bytes(100)
        640000
    """
    return MATRICES * 8 * num_params**2
