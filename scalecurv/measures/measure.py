"""What a question to a Problem is: a frozen set of options that answers with estimates."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from scalecurv.errors import Misuse
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.route import Strategy
from scalecurv.problem.params import check_pattern
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate


@dataclass(frozen=True)
class Findings:
    """Estimates of the whole model by quantity, 1-D float64 arrays by name, and `parts` by (quantity, component)."""

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)

    @property
    def by_component(self) -> dict[tuple[str, str], Estimate]:
        """All estimates by (quantity, component), "" standing for the whole model."""
        return self.of_block("")

    def of_block(self, block: str) -> dict[tuple[str, str], Estimate]:
        """The same where the whole is a block of parameters: its name stands for it, and before those of its parts."""
        whole = {(name, block): estimate for name, estimate in self.estimates.items()}
        before = f"{block} " if block else ""
        return {**whole, **{(name, before + part): estimate for (name, part), estimate in self.parts.items()}}


@dataclass(frozen=True)
class Measure(ABC):
    """A question. Subclasses are frozen dataclasses whose fields are all their options.

    `params`, a regular expression, asks it of those parameters alone in whose names it is found, all others held fixed.
    `version` rises whenever the numbers would change for the same options: it is part of every key.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    quantities: ClassVar[tuple[str, ...]]

    params: str | None = field(default=None, kw_only=True)

    @property
    def block(self) -> str:
        """What the component of its estimates begins with: nothing for the whole model."""
        return "" if self.params is None else f"params={self.params}"

    @abstractmethod
    def compute(self, evaluation: Evaluation) -> Findings:
        """The findings at one problem; never depends on which other measures were asked."""

    def check(self, problem: Problem) -> None:
        """Raise Misuse where these options can have no answer at this problem; costs no product."""
        return

    def __post_init__(self) -> None:
        for name, least in (("rtol", 0.0), ("memory", 1), ("num_starts", 1)):
            value = getattr(self, name, least)
            if not least <= value < math.inf:
                raise Misuse(f"{name} is {value}; it must be at least {least} and finite")
        if self.params is not None:
            check_pattern(self.params)

    @property
    def options(self) -> dict[str, Any]:
        """The fields that are set, by name: what goes into the key. An option added later starts as None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class RoutedMeasure(Measure):
    """`rtol` of half-widths, at most `max_matvecs` products and `memory` bytes, a `route` or None: the cheapest."""

    rtol: float = 0.01
    max_matvecs: int = 1000
    memory: int = 2 << 30
    route: str | None = None

    @property
    def strategy(self) -> Strategy:
        return Strategy(self.rtol, self.max_matvecs, self.memory, self.route)

    def check(self, problem: Problem) -> None:
        try:
            self.strategy.structure(problem)
        except Misuse as error:
            raise Misuse(f"measure {self.name}: {error}") from error
