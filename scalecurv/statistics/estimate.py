"""A number, its interval and its cost: what every estimator of this package returns."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

NAN = math.nan


class Status(StrEnum):
    """How much a number may be believed."""

    EXACT = "exact"  # no sampling and no truncation: rounding alone
    CERTIFIED = "certified"  # inside a proven interval that is narrow enough
    CONVERGED = "converged"  # the confidence interval is inside the tolerance asked for
    BUDGET = "budget"  # honest interval, but wider than asked: the products were spent
    LOWER_BOUND = "lower_bound"  # the truth is this or larger
    NOT_APPLICABLE = "not_applicable"  # the question has no answer here
    INCONSISTENT = "inconsistent"  # two roads to the number do not meet
    FAILED = "failed"  # the arithmetic broke down

    @property
    def advice(self) -> str:
        """One sentence: what to do about a number of this status."""
        return _ADVICE[self]


_ADVICE = {
    Status.EXACT: "Nothing was sampled: compare it as it stands.",
    Status.CERTIFIED: "The interval is proven at its confidence and inside --rtol.",
    Status.CONVERGED: "The interval is inside --rtol.",
    Status.BUDGET: "The interval is honest but wider than --rtol: raise --max-matvecs (or --rtol) for a narrower one.",
    Status.LOWER_BOUND: "The truth is this or larger, up to the upper end: more --memory may close the gap.",
    Status.NOT_APPLICABLE: "The question has no answer at this model, loss or point; the method says why.",
    Status.INCONSISTENT: "Two roads to this number do not meet: believe neither; after float32 try --dtype float64.",
    Status.FAILED: "The arithmetic broke down: look at the weights, or try --dtype float64.",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the interval to quote, and the products it took.

    `lower`..`upper` holds the truth with probability `confidence` (Student quantiles, a certificate or a
    bound). `stderr` is the sampling error alone, NaN where nothing was sampled. `num_samples` counts
    independent terms, `num_matvecs` the operator products that this value needed, shared ones included.
    """

    value: float
    stderr: float
    lower: float
    upper: float
    confidence: float
    num_samples: int
    num_matvecs: int
    method: str
    status: Status

    @classmethod
    def exact(cls, value: float, method: str, num_matvecs: int = 0) -> "Estimate":
        """A value known up to rounding; `failed` if it is not a finite number."""
        if not math.isfinite(value):
            return cls(NAN, NAN, NAN, NAN, NAN, 0, num_matvecs, method, Status.FAILED)
        return cls(float(value), NAN, float(value), float(value), 1.0, 0, num_matvecs, method, Status.EXACT)

    @classmethod
    def enclosed(
        cls,
        value: float,
        lower: float,
        upper: float,
        method: str,
        status: Status,
        *,
        confidence: float = 1.0,
        num_matvecs: int = 0,
    ) -> "Estimate":
        """A value between bounds, of which nothing was sampled."""
        return cls(value, NAN, lower, upper, confidence, 0, num_matvecs, method, status)

    @classmethod
    def not_applicable(cls, method: str) -> "Estimate":
        """The honest answer where the question does not apply."""
        return cls(NAN, NAN, NAN, NAN, NAN, 0, 0, method, Status.NOT_APPLICABLE)

    @property
    def halfwidth(self) -> float:
        """Half the length of the interval, in the units of the value."""
        return (self.upper - self.lower) / 2

    def within(self, rtol: float) -> bool:
        """Whether the interval's half-width is at most `rtol` |value|."""
        return self.halfwidth <= rtol * abs(self.value)

    def with_status(self, status: Status) -> "Estimate":
        return replace(self, status=status)

    def judged(self, rtol: float) -> "Estimate":
        """Of what was computed from a number that met its tolerance: `budget` where this one does not meet `rtol`."""
        met = self.status not in (Status.CONVERGED, Status.CERTIFIED) or self.within(rtol)
        return self if met else self.with_status(Status.BUDGET)

    def affine(self, scale: float, offset: float) -> "Estimate":
        """offset + scale x, its interval turned over where `scale` is negative."""
        ends = sorted((offset + scale * self.lower, offset + scale * self.upper))
        value = offset + scale * self.value
        if not math.isfinite(value):
            return Estimate(NAN, NAN, NAN, NAN, NAN, self.num_samples, self.num_matvecs, self.method, Status.FAILED)
        return replace(self, value=value, stderr=abs(scale) * self.stderr, lower=ends[0], upper=ends[1])

    def widened(self, slack: float) -> "Estimate":
        """Both ends moved out by `slack` >= 0."""
        return replace(self, lower=self.lower - slack, upper=self.upper + slack) if slack else self

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if self.status in (Status.NOT_APPLICABLE, Status.FAILED):
            return self.status.value.replace("_", " ")
        if self.status is Status.EXACT or (self.confidence == 1 and self.halfwidth == 0):
            return _plain(self.value)
        confidence = f"({100 * self.confidence:.6g} %)"
        if self.lower == -math.inf:  # a single sample
            return f"{_plain(self.value)} +- inf {confidence}"
        if self.upper == math.inf or self.status is Status.LOWER_BOUND:
            return f">= {_plain(self.lower)}" + (f", <= {_plain(self.upper)}" if self.upper < math.inf else "")
        if self.halfwidth <= 1e-6 * abs(self.value):  # nothing of it would show
            return f"{_plain(self.value)} {confidence}"
        digits = _decimals(self.halfwidth)
        centre = (self.upper + self.lower) / 2
        if abs(self.value - centre) > 1e-6 * self.halfwidth:  # a certificate: the value sits at one end
            ends = f"[{_fixed(self.lower, digits)}, {_fixed(self.upper, digits)}]"
            return f"{_fixed(self.value, digits)} in {ends} {confidence}"
        return f"{_fixed(self.value, digits)} +- {_fixed(self.halfwidth, digits)} {confidence}"


def _plain(number: float) -> str:
    """Six digits, or all of a whole number that has no more than twelve."""
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < 1e12 else f"{number:.6g}"


def _decimals(halfwidth: float) -> int:
    """Decimals that show a half-width to one significant digit, to two where it begins with 1."""
    leading, exponent = f"{halfwidth:.17e}".split("e")
    return -int(exponent) + (1 if leading.startswith("1") else 0)


def _fixed(number: float, decimals: int) -> str:
    exponent = math.floor(math.log10(abs(number) or 1))
    if number and (decimals > 9 or exponent > 9):
        return f"{number:.{max(decimals + exponent, 0)}e}"
    return f"{round(number, decimals):.{max(decimals, 0)}f}" if number or decimals <= 9 else "0"
