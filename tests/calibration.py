"""Checks that standard errors are right: z-scores and coverage over many seeds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom, chi2

from scalecurv.statistics.estimate import Estimate

RISK = 1e-4  # the chance that a right estimator falls out of a band


def assert_calibrated(estimates: Sequence[Estimate], truth: float) -> None:
    """Assert that z = (value - truth) / stderr has mean 0 and sd 1, and that the intervals have their coverage.

    The bands follow from the number of independent estimates; none of them is tuned.
    """
    m = len(estimates)
    z = np.array([(e.value - truth) / e.stderr for e in estimates])
    low, high = np.sqrt(chi2.ppf([RISK / 2, 1 - RISK / 2], m - 1) / (m - 1))
    covered = sum(e.lower <= truth <= e.upper for e in estimates)
    fewest, most = binom.ppf([RISK / 2, 1 - RISK / 2], m, estimates[0].confidence)
    report = f"mean z {z.mean():.3f}, sd z {z.std(ddof=1):.3f}, {covered} of {m} intervals hold the truth"
    assert abs(z.mean()) <= 4 / math.sqrt(m), report
    assert low <= z.std(ddof=1) <= high, report
    assert fewest <= covered <= most, report


def bias(values: np.ndarray, truth: float) -> float:
    """Return (mean - truth) / standard error of the mean, for independent `values`."""
    return float((np.mean(values) - truth) / (np.std(values, ddof=1) / math.sqrt(len(values))))
