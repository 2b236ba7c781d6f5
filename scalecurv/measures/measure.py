"""What a question to a Problem is: a frozen set of options that answers with estimates."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from scalecurv.estimate import Estimate
from scalecurv.measures.evaluation import Evaluation


@dataclass(frozen=True)
class Findings:
    """Estimates by quantity (or by (quantity, component)), and 1-D float64 arrays by name."""

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Measure(ABC):
    """A question. Subclasses are frozen dataclasses whose fields are all their options.

    `version` rises whenever the numbers would change for the same options: it is part of every key.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    quantities: ClassVar[tuple[str, ...]]

    @abstractmethod
    def ask(self, evaluation: Evaluation) -> Findings:
        """The findings at one problem; never depends on which other measures were asked."""

    @property
    def options(self) -> dict[str, Any]:
        """The fields by name, plain values: what goes into the key and beside the result."""
        return asdict(self)  # type: ignore[call-overload]
