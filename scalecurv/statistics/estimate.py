"""A number with its interval and its cost, which every estimator of this package returns."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from scalecurv.display import html_text
from scalecurv.sketch import interval

NAN = math.nan


class Status(StrEnum):
    """The grounds on which an interval may be believed.

    Example:
        >>> import scalecurv as sc
        >>> found = sc.trace(sc.Problem.quadratic(1.0, 3.0))
        >>> found.status is sc.Status.EXACT, str(found.status)
        (True, 'exact')
        >>> found.status.advice
        'Nothing was sampled: compare the number as it is.'
    """

    EXACT = "exact"  # no sampling and no truncation, only rounding
    CERTIFIED = "certified"  # inside a proven interval that is narrow enough
    CONVERGED = "converged"  # the confidence interval is inside the tolerance asked for
    BUDGET = "budget"  # the interval holds and is wider than asked: the products were spent
    LOWER_BOUND = "lower_bound"  # the truth is this or larger
    NOT_APPLICABLE = "not_applicable"  # the quantity is not defined here
    INCONSISTENT = "inconsistent"  # two routes to the number disagree
    FAILED = "failed"  # the arithmetic broke down

    @property
    def advice(self) -> str:
        """One sentence that advises what to do about a number of this status."""
        return _ADVICE[self]


_ADVICE = {
    Status.EXACT: "Nothing was sampled: compare the number as it is.",
    Status.CERTIFIED: "The interval is proven at its confidence and within --rtol.",
    Status.CONVERGED: "The interval is within --rtol.",
    Status.BUDGET: "The interval holds and is wider than --rtol: raise --max-matvecs, --from-samples or --rtol.",
    Status.LOWER_BOUND: "The truth is between the value and the upper end; for a rank, --memory may close the gap.",
    Status.NOT_APPLICABLE: "The quantity is not defined for this model, loss or point; the method says why.",
    Status.INCONSISTENT: "Two routes to this number disagree: believe neither; after float32 try --dtype float64.",
    Status.FAILED: "The arithmetic broke down: look at the weights, or try --dtype float64.",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the interval to quote, and the number of products that it took.

    `lower`..`upper` holds the truth with probability `confidence` (Student quantiles, a certificate or a
    bound). `stderr` is the sampling error alone, NaN where nothing was sampled. `num_samples` counts
    independent terms, `num_matvecs` the operator products that this value needed, shared ones included.

    Example:
        >>> trace = Estimate(12.34, 0.025, 12.29, 12.39, 0.95, 40, 40, "hutchinson", Status.CONVERGED)
        >>> print(trace, "from", trace.num_samples, "samples")
        12.34 +- 0.05 (95 %) from 40 samples
        >>> print(Estimate.exact(2.5, "written out"), Estimate.not_applicable("no gradient"))
        2.5 not applicable
        >>> Estimate.exact(2.5, "written out", num_matvecs=3)
        Estimate(2.5, exact, 3 matvecs: 'written out')
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
        """Return the estimate of a value known up to rounding; `failed` where it is not a finite number."""
        if not math.isfinite(value):
            return cls.failed(method, num_matvecs=num_matvecs)
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
        """Return the estimate of a value between proven bounds, where nothing was sampled."""
        return cls(value, NAN, lower, upper, confidence, 0, num_matvecs, method, status)

    @classmethod
    def not_applicable(cls, method: str) -> "Estimate":
        """Return the estimate of a quantity that does not apply; `method` says why. All its numbers are NaN."""
        return cls(NAN, NAN, NAN, NAN, NAN, 0, 0, method, Status.NOT_APPLICABLE)

    @classmethod
    def failed(cls, reason: str, num_samples: int = 0, num_matvecs: int = 0) -> "Estimate":
        """Return the estimate of a computation that broke down; `reason` says why. All its numbers are NaN."""
        return cls(NAN, NAN, NAN, NAN, NAN, num_samples, num_matvecs, reason, Status.FAILED)

    @property
    def halfwidth(self) -> float:
        """Return half the length of the interval, in the units of the value."""
        return self.upper / 2 - self.lower / 2  # the whole length may be more than a float holds

    def within(self, rtol: float) -> bool:
        """Return True where the interval's half-width is at most `rtol` |value|."""
        return self.halfwidth <= rtol * abs(self.value)

    def with_status(self, status: Status) -> "Estimate":
        """Return the estimate with another status."""
        return replace(self, status=status)

    def judged(self, rtol: float) -> "Estimate":
        """Return the estimate as `budget` where it is `converged` or `certified` and wider than `rtol` |value|.

        It serves a value computed from another estimate, which met its tolerance where this one may not.
        """
        met = self.status not in (Status.CONVERGED, Status.CERTIFIED) or self.within(rtol)
        return self if met else self.with_status(Status.BUDGET)

    def affine(self, scale: float, offset: float) -> "Estimate":
        """Return the estimate of offset + scale x; a negative `scale` exchanges the ends of the interval."""
        ends = sorted((offset + scale * self.lower, offset + scale * self.upper))
        value = offset + scale * self.value
        if not math.isfinite(value):
            return Estimate.failed(self.method, self.num_samples, self.num_matvecs)
        return replace(self, value=value, stderr=abs(scale) * self.stderr, lower=ends[0], upper=ends[1])

    def widened(self, slack: float) -> "Estimate":
        """Return the estimate with both ends of its interval moved outwards by `slack` >= 0."""
        return replace(self, lower=self.lower - slack, upper=self.upper + slack) if slack else self

    def charged(self, num_matvecs: int) -> "Estimate":
        """Return the estimate with `num_matvecs` operator products added to its cost."""
        return replace(self, num_matvecs=self.num_matvecs + num_matvecs)

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        """Return one line with every field that says something: two estimates with equal lines are equal, NaN too."""
        numbers = [float(number) for number in (self.value, self.lower, self.upper, self.confidence)]
        value, lower, upper, confidence = numbers
        parts = [repr(value)] if (lower, upper, confidence) == (value, value, 1) else []
        if not parts and not all(map(math.isnan, numbers)):
            parts = [f"{value!r} in [{lower!r}, {upper!r}]", f"confidence {confidence!r}"]
        parts.append(self.status.value)
        if not math.isnan(self.stderr):
            parts.append(f"stderr {float(self.stderr)!r}")
        counts = {"samples": self.num_samples, "matvecs": self.num_matvecs}
        parts += [f"{count} {name}" for name, count in counts.items() if count]
        return f"Estimate({', '.join(parts)}: {self.method!r})"

    def _repr_html_(self) -> str:
        """Return the line of `str`, a drawing of the interval where there is a number, and the grounds in words."""
        drawing = interval(self.value, self.lower, self.upper)
        return f"{html_text(str(self))} {drawing} {html_text(f'{self.status.value}: {self.method}')}"

    def __str__(self) -> str:
        if self.status in (Status.NOT_APPLICABLE, Status.FAILED):
            return self.status.value.replace("_", " ")
        short, sure = self.halfwidth <= 1e-6 * abs(self.value), f"{100 * self.confidence:.6g}" == "100"
        if self.status is Status.EXACT or (sure and (short or self.halfwidth == 0)):
            return _plain(self.value)
        confidence = f"({100 * self.confidence:.6g} %)"
        if self.lower == -math.inf:  # a single sample
            return f"{_plain(self.value)} +- inf {confidence}"
        if self.upper == math.inf or self.status is Status.LOWER_BOUND:
            return f">= {_plain(self.lower)}" + (f", <= {_plain(self.upper)}" if self.upper < math.inf else "")
        if short:  # the interval is too short to show
            return f"{_plain(self.value)} {confidence}"
        digits = _decimals(self.halfwidth)
        centre = self.upper / 2 + self.lower / 2
        if abs(self.value - centre) > 1e-6 * self.halfwidth:  # a certificate: the value sits at one end
            ends = f"[{_fixed(self.lower, digits)}, {_fixed(self.upper, digits)}]"
            return f"{_fixed(self.value, digits)} in {ends} {confidence}"
        return f"{_fixed(self.value, digits)} +- {_fixed(self.halfwidth, digits)} {confidence}"


def _plain(number: float) -> str:
    """Return six digits, or all digits of an integer that has no more than twelve."""
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < 1e12 else f"{number:.6g}"


def _decimals(halfwidth: float) -> int:
    """Return the decimals that show a half-width to one significant digit, or to two where it begins with 1."""
    leading, exponent = f"{halfwidth:.17e}".split("e")
    return -int(exponent) + (1 if leading.startswith("1") else 0)


def _fixed(number: float, decimals: int) -> str:
    exponent = math.floor(math.log10(abs(number) or 1))
    if number and (decimals > 9 or exponent > 9):
        return f"{number:.{max(decimals + exponent, 0)}e}"
    return f"{round(number, decimals):.{max(decimals, 0)}f}" if number or decimals <= 9 else "0"
