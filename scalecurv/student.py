"""Student's interval: from independent terms, or from an estimate with a standard error and its freedom."""

import math
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from scalecurv.estimate import NAN, Estimate, Status


def student_estimate(
    value: float,
    stderr: float,
    num_samples: int,
    method: str,
    confidence: float = 0.95,
    num_matvecs: int | None = None,
    freedom: float | None = None,
    skewness: float = 0.0,
) -> Estimate:
    """value +- t stderr, t the two-sided Student quantile with `freedom` (default: num_samples - 1) degrees.

    Where the samples are skewed, t is widened for it: see `skewed_quantile`.

    The status is `budget`, which whoever knows the tolerance may raise to `converged`; `failed` where value or
    stderr overflowed. With a single sample the interval is the whole line. `num_matvecs` defaults to one a sample.
    """
    products = num_samples if num_matvecs is None else num_matvecs
    if not math.isfinite(value) or (num_samples > 1 and not math.isfinite(stderr)):
        return Estimate(NAN, NAN, NAN, NAN, NAN, num_samples, products, method, Status.FAILED)
    if num_samples < 2:
        return Estimate(value, NAN, -math.inf, math.inf, confidence, num_samples, products, method, Status.BUDGET)
    t = float(stdtrit(freedom or num_samples - 1, (1 + confidence) / 2))
    half = skewed_quantile(t, skewness, num_samples) * stderr
    return Estimate(value, stderr, value - half, value + half, confidence, num_samples, products, method, Status.BUDGET)


def at_confidence(estimate: Estimate, confidence: float) -> Estimate:
    """A sampled estimate's interval at a higher confidence, by the ratio of Student's quantiles; others as they are."""
    if not estimate.stderr > 0 or estimate.num_samples < 2:
        return estimate
    wide, narrow = (stdtrit(estimate.num_samples - 1, (1 + level) / 2) for level in (confidence, estimate.confidence))
    slack = estimate.halfwidth * (float(wide / narrow) - 1)
    return replace(estimate.widened(slack), confidence=confidence)


def skewed_quantile(t: float, skewness: float, num_samples: int) -> float:
    """The quantile of |z|, z the studentized mean of m skewed samples: t + t skewness^2 (t^4 + 2 t^2 - 3) / (18 m).

    The second term of the Edgeworth expansion of P(|z| <= t) in 1/m; the term of the kurtosis, which narrows, is left
    out. (Hall 1992, The Bootstrap and Edgeworth Expansion, sec. 2.6) At 32 samples of chi^2_1 the plain interval holds
    91 % of the time instead of 95 %, this one 93 %; for normal samples it is 0.6 % wider.
    """
    return t + t * skewness**2 * max(t**4 + 2 * t**2 - 3, 0.0) / (18 * num_samples)


def skewness_of(samples: np.ndarray) -> float:
    """m_3 / m_2^(3/2) of the central moments of `samples`; 0 where they do not vary."""
    scale = float(np.max(np.abs(samples - samples.mean()), initial=0.0))
    if not 0 < scale < math.inf:
        return 0.0
    centred = (samples - samples.mean()) / scale  # nothing overflows on the way to a third power
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def mean_estimate(samples: np.ndarray, method: str, confidence: float = 0.95) -> Estimate:
    """The mean of independent `samples` of shape (m,), stderr sd / sqrt(m)."""
    m = len(samples)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows in the status
        value = float(np.mean(samples))
        stderr = float(np.std(samples, ddof=1)) / math.sqrt(m) if m > 1 else NAN
        skewness = skewness_of(samples)
    return student_estimate(value, stderr, m, method, confidence, skewness=skewness)
