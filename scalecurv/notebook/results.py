"""The findings of several measures at one problem, as one object to read, print and tabulate."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalecurv.display import html_table
from scalecurv.measures.measure import Findings, Measure
from scalecurv.statistics.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("quantity", "value", "status", "method")


class _Arrays(dict[str, Mapping[str, np.ndarray]]):
    """Arrays by the name of their measure; a KeyError says which there are."""

    def __missing__(self, measure: str) -> Mapping[str, np.ndarray]:
        there = f"there are those of {', '.join(self)}" if self else "there are none"
        more = "; its singular values need singular_values=True" if measure == "rank" else ""
        raise KeyError(f"no arrays of {measure!r} among these results; {there}{more}")


@dataclass(frozen=True, repr=False, eq=False)
class Results(Mapping[str, Estimate]):
    """Estimates of the whole model by the name of the quantity, and beside them arrays and parts.

    arrays: 1-D float64 arrays by name, of each measure by its name: `results.arrays["spectrum"]["ritz_nodes"]`.
    parts: estimates of parts of the model by (quantity, component), such as ("trace", "fc1") for a layer.
    total_matvecs: the products that the call took, each counted once.

    Example:
        >>> results = Results({"trace": Estimate.exact(4.0, "by hand")}, {}, {}, 0)
        >>> results
        Results(1 quantity, 0 products: trace)
        >>> print(results)
        trace  4  exact
    """

    estimates: Mapping[str, Estimate]
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    parts: Mapping[tuple[str, str], Estimate]
    total_matvecs: int

    @classmethod
    def of(cls, found: Mapping[Measure, Findings], total_matvecs: int) -> "Results":
        """Return the findings of measures of different names, which share no quantity."""
        estimates = {name: e for findings in found.values() for name, e in findings.estimates.items()}
        parts = {key: e for findings in found.values() for key, e in findings.parts.items()}
        arrays = _Arrays({measure.name: findings.arrays for measure, findings in found.items() if findings.arrays})
        return cls(estimates, arrays, parts, total_matvecs)

    def __getitem__(self, quantity: str) -> Estimate:
        if quantity not in self.estimates:
            raise KeyError(f"no {quantity!r} among these results; there are {', '.join(self.estimates) or 'none'}")
        return self.estimates[quantity]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row for each quantity and component, with the columns of the table `estimates` of a store.

        The component is "" for the whole model.

        Example:
            >>> frame = Results({"trace": Estimate.exact(4.0, "by hand")}, {}, {}, 0).to_frame()
            >>> frame[["quantity", "component", "status"]].values.tolist()
            [['trace', '', 'exact']]
        """
        import pandas as pd  # here, as numbers alone need no pandas

        whole = {(name, ""): estimate for name, estimate in self.estimates.items()}
        names = ["quantity", "component", *Estimate.__dataclass_fields__]
        rows = [
            [*key, *(asdict(estimate) | {"status": estimate.status.value}).values()]
            for key, estimate in {**whole, **self.parts}.items()
        ]
        return pd.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        count = f"{len(self)} {'quantity' if len(self) == 1 else 'quantities'}"
        return f"Results({count}, {self.total_matvecs:,} products: {', '.join(self)})"

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        lines = (f"{name.ljust(width)}  {e}" for name, e in self.items())
        return "\n".join(f"{line}  {_grounds(e)}" for line, e in zip(lines, self.values(), strict=True))

    def _repr_html_(self) -> str:
        rows = [(name, estimate, estimate.status.value, estimate.method) for name, estimate in self.items()]
        return html_table(f"Results, {self.total_matvecs:,} products", rows, HEAD)


def _grounds(estimate: Estimate) -> str:
    """Return the status, or the reason of an estimate without a number, which is shown as its status already."""
    return estimate.method if math.isnan(estimate.value) else estimate.status.value
