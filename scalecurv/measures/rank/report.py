"""The report on the rank of one Jacobian: a line for each number, and the account of all parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scalecurv.display import html_table
from scalecurv.errors import Misuse
from scalecurv.measures.measure import Findings
from scalecurv.statistics.estimate import Estimate, Status

PROFILE = {
    "rank_1e2": "singular values > 1e-2 of the largest",
    "rank_1e3": "singular values > 1e-3 of the largest",
    "rank_1e6": "singular values > 1e-6 of the largest",
    "stable_rank": "stable rank, |J|_F^2 / sigma_1^2",
    "jacobian_participation_ratio": "participation ratio of J'J",
}
CEILINGS = {
    "rank_generic": "rank at almost all parameters of the region",
    "functional_dimension_lower": "functional dimension, any inputs",
    "rank_ceiling": "ceiling of the architecture, P - hidden",
    "kink_margin": "margin of the activation pattern",
}
ENTRIES = {
    "rank": "rank",
    "account_dead": "dead: touch no live unit or nonzero input",
    "account_rescaling": "rescaling: one a live hidden neuron",
    "account_data_limited": "data: too few or too alike to show",
    "account_unexplained": "unexplained: below the structural bound",
}


@dataclass(frozen=True, repr=False, eq=False)
class RankReport:
    """The rank of a Jacobian of this `shape`, (N D, P), with all numbers about it: `estimates` by name.

    `print(report)` prints what `scalecurv rank` prints.

    Example:
        >>> RankReport({"rank": Estimate.exact(2, "by hand")}, (4, 3))
        RankReport(rank=2, shape=(4, 3))
    """

    estimates: Mapping[str, Estimate]
    shape: tuple[int, int]
    _values: np.ndarray | None = None

    @classmethod
    def of(cls, findings: Findings, shape: tuple[int, int]) -> "RankReport":
        """Return the report on the findings of the measure `rank`, of outputs or of their softmax."""
        values = next((v for name, v in findings.arrays.items() if name.startswith("singular_values")), None)
        return cls({name: estimate for (name, _), estimate in findings.by_component.items()}, shape, values)

    @property
    def singular_values(self) -> np.ndarray:
        """The singular values of J that were found, descending; raises Misuse where they were not asked for."""
        if self._values is None:
            raise Misuse(
                "the singular values were not computed; ask for them by --singular-values, here singular_values=True"
            )
        return self._values

    @property
    def profile(self) -> dict[str, Estimate]:
        """The numerical ranks, the stable rank and the participation ratio, by name."""
        return {name: self.estimates[name] for name in PROFILE if name in self.estimates}

    @property
    def account(self) -> dict[str, Estimate]:
        """The parts of P = rank + dead + rescaling + data_limited + unexplained; empty where they are not known."""
        parts = {name: self.estimates[name] for name in ENTRIES if name in self.estimates}
        known = all(name in parts and parts[name].status is Status.EXACT for name in list(ENTRIES)[1:])
        return parts if known and "rank" in parts else {}

    def __str__(self) -> str:
        lines = _columns(self._rows())
        if self.account:
            entries = [(f"  {ENTRIES[name]}", f"{entry.value:.0f}") for name, entry in self.account.items()]
            lines += ["", *_columns([("Where the parameters go", f"{self.shape[1]}"), *entries])]
        if self._values is not None:
            words = [f"{value:.6g}" for value in self._values]
            lines += ["", "Singular values", *(" ".join(words[i : i + 8]) for i in range(0, len(words), 8))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"RankReport(rank={self.estimates['rank']}, shape={self.shape})"

    def _repr_html_(self) -> str:
        account = [(ENTRIES[name], f"{entry.value:.0f}", "") for name, entry in self.account.items()]
        return html_table("RankReport", [*self._rows(), *account])

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the label, the number and the method of each line above the account."""
        rank, (rows, columns) = self.estimates["rank"], self.shape
        lines: list[tuple[str, ...]] = [("J, samples x outputs by parameters", f"{rows} x {columns}", "")]
        lines += [("rank of J", str(rank), f"{rank.status}, {rank.method}")]
        lines += [
            (label, str(self.estimates[name]), _method(self.estimates[name]))
            for name, label in {**PROFILE, **CEILINGS}.items()
            if name in self.estimates
        ]
        return lines


def _method(estimate: Estimate) -> str:
    """Return the method where it says why there is no number, or what a bound rests on."""
    return estimate.method if estimate.status in (Status.LOWER_BOUND, Status.CERTIFIED, Status.NOT_APPLICABLE) else ""


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines: labels to the left, numbers to the right, and what else there is."""
    labels, numbers = (max(len(row[i]) for row in rows) for i in (0, 1))
    return ["  ".join([row[0].ljust(labels), row[1].rjust(numbers), *row[2:]]).rstrip() for row in rows]
