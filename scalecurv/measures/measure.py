"""The interface of all measures: frozen options, and a function from an Evaluation to Findings."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.machine import default_memory
from scalecurv.measures.cost import MeasureCost, bytes_of
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.route import Strategy
from scalecurv.problem.params import check_pattern
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_number
from scalecurv.quantities import MAX_MATVECS, RTOL, Quantity
from scalecurv.record import Asked
from scalecurv.statistics.estimate import Estimate

SHARPNESS = frozenset(field.name for field in fields(Asked))


@dataclass(frozen=True)
class Findings:
    """The results of a measure at one problem.

    estimates: estimates of the whole model, by quantity.
    arrays: 1-D float64 arrays, by name.
    parts: estimates of parts of the model, such as layers, by (quantity, component).

    Example:
        >>> whole, layer = Estimate.exact(3.0, "sum"), Estimate.exact(1.0, "sum")
        >>> findings = Findings({"weight_norm": whole}, parts={("weight_norm", "fc1"): layer})
        >>> print(findings.estimates["weight_norm"], findings.parts["weight_norm", "fc1"])
        3 1
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)

    @property
    def by_component(self) -> dict[tuple[str, str], Estimate]:
        """Return all estimates by (quantity, component), where the component "" is the whole model."""
        return self.of_block("")

    def of_block(self, block: str) -> dict[tuple[str, str], Estimate]:
        """Return all estimates by (quantity, component), where each component begins with the name of the block.

        Example:
            >>> one = Estimate.exact(1.0, "sum")
            >>> list(Findings({"trace": one}, parts={("trace", "fc1"): one}).of_block("params=fc"))
            [('trace', 'params=fc'), ('trace', 'params=fc fc1')]
        """
        whole = {(name, block): estimate for name, estimate in self.estimates.items()}
        before = f"{block} " if block else ""
        return {**whole, **{(name, before + part): estimate for (name, part), estimate in self.parts.items()}}


@dataclass(frozen=True)
class Measure(ABC):
    """A measure: quantities that are computed together. Subclasses are frozen dataclasses whose fields are the options.

    name: the name on the command line and in the store.
    version: rises whenever the numbers change for the same options; it is part of every key.
    described: the quantities of a measure of one's own, each with its meaning and unit.
    quantities: the names of the estimates; by default those of `described`.
    on_request: the quantities that are computed only where an option is set, each with the option's name.
    params: a regular expression; only parameters whose names contain a match vary, and all others are held fixed.

    The options `rtol`, `max_matvecs` and `memory` set how sharply the numbers are asked for. They are no part of the
    key: numbers that are stored and as sharp are not computed again.

    Raises Misuse for options outside their range.

    Example:
        >>> from scalecurv.quantities import Quantity
        >>> @dataclass(frozen=True)
        ... class SquaredNorm(Measure):
        ...     name, version = "squared_norm", 1
        ...     described = (Quantity("theta_squared", "|theta|^2", unit="theta^2"),)
        ...
        ...     def compute(self, evaluation):
        ...         square = evaluation.double.theta.square().sum()
        ...         return Findings({"theta_squared": Estimate.exact(square, "sum of squares")})
        >>> SquaredNorm.quantities
        ('theta_squared',)
    """

    name: ClassVar[str]
    version: ClassVar[int]
    described: ClassVar[tuple[Quantity, ...]] = ()
    quantities: ClassVar[tuple[str, ...]]
    on_request: ClassVar[Mapping[str, str]] = MappingProxyType({})

    params: str | None = field(default=None, kw_only=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "described" in vars(cls) and "quantities" not in vars(cls):
            cls.quantities = tuple(getattr(quantity, "name", "") for quantity in cls.described)

    @property
    def block(self) -> str:
        """Return the name of the block of parameters, with which components begin: "" for the whole model."""
        return "" if self.params is None else f"params={self.params}"

    @abstractmethod
    def compute(self, evaluation: Evaluation) -> Findings:
        """Return the findings at one problem; they do not depend on which other measures are computed."""

    def check(self, problem: Problem) -> None:
        """Raise Misuse where the measure with these options is not defined at this problem; takes no product."""
        return

    def cost(self, problem: Problem) -> MeasureCost:
        """Return the most that this measure can take at `problem`; takes no product. Raises Misuse as `check` does."""
        return MeasureCost()

    def __post_init__(self) -> None:
        check_number("max_matvecs", getattr(self, "max_matvecs", None))
        for name, least in (("rtol", 0.0), ("memory", 1), ("num_starts", 1)):
            value = getattr(self, name, least)
            check_number(name, value)
            if not least <= value < math.inf:
                raise Misuse(f"{name} is {value}; it must be at least {least} and finite")
        if self.params is not None:
            check_pattern(self.params)

    @property
    def settings(self) -> dict[str, Any]:
        """Return all options by name, except those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def options(self) -> dict[str, Any]:
        """Return the options that are part of the key, by name: those that set what is asked and are not None.

        An option that is added later has the default None, so that it leaves older keys as they are.
        """
        return {name: value for name, value in self.settings.items() if name not in SHARPNESS}

    @property
    def asked(self) -> Asked:
        """Return the options that set how sharply it is asked, which are no part of the key."""
        return Asked(**{name: value for name, value in self.settings.items() if name in SHARPNESS})

    def sharpened(self, other: "Measure") -> "Measure":
        """Return the measure as sharp as it and `other` are, which differs from it in nothing else.

        It has the smaller tolerance, and the larger limit of products and of memory.
        """
        mine, theirs = self.asked, other.asked
        sharpest: dict[str, Any] = {
            "rtol": min(mine.rtol, theirs.rtol),
            "max_matvecs": max(mine.max_matvecs, theirs.max_matvecs),
            "memory": max(mine.memory, theirs.memory),
        }
        return replace(self, **{name: value for name, value in sharpest.items() if name in self.settings})


@dataclass(frozen=True)
class RoutedMeasure(Measure):
    """A measure that can be computed by several routes.

    rtol: the relative half-width of intervals at which sampling ends.
    max_matvecs: the largest number of Hessian products.
    memory: the bytes that Krylov bases and matrices may take.
    route: "exact", "sampled", "generic" or "dense" (see `Strategy`); None for the cheapest that applies.
    """

    rtol: float = RTOL
    max_matvecs: int = MAX_MATVECS
    memory: int = field(default_factory=default_memory)
    route: str | None = None

    @property
    def strategy(self) -> Strategy:
        """Return the options that decide how the measure is computed."""
        return Strategy(self.rtol, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        try:
            self.strategy.structure(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error

    def cost(self, problem: Problem) -> MeasureCost:
        """Return the cost of tr H and tr H^2: P products where H is written out, else all of the budget.

        The budget's probes do not count where tr H^2 is an exact sum.
        """
        strategy, size = self.strategy, bytes_of(problem, self.strategy)
        if strategy.dense_is_taken(problem):
            return MeasureCost(written_out=problem.num_params, bytes=size)
        mlp = strategy.structure(problem)
        exact = mlp is not None and strategy.square_is_exact(problem, mlp)
        probes = 0 if exact else strategy.budget.probes
        return MeasureCost(shared=self.max_matvecs - strategy.budget.probes + probes, shared_probes=probes, bytes=size)

    def is_sum(self, problem: Problem) -> bool:
        """Return True where tr H and tr H^2 are both exact sums over the structure of an MLP."""
        mlp = self.strategy.structure(problem)
        known = mlp is not None and self.strategy.trace_is_exact(problem)
        return known and mlp is not None and self.strategy.square_is_exact(problem, mlp)


@dataclass(frozen=True)
class SampledMeasure(RoutedMeasure):
    """A measure whose numbers of the whole loss can be estimated from samples of the data.

    from_samples: the number of samples that tr H^2 and the ends of the spectrum of H are estimated from; None for all.
        What takes few passes over the data still takes all samples.
    """

    from_samples: int | None = None

    @property
    def strategy(self) -> Strategy:
        return replace(super().strategy, from_samples=self.from_samples)
