"""Hutchinson's estimators of tr A and tr A^2 from the same products: one row of terms a probe."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scalecurv.estimate import Estimate
from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import dots
from scalecurv.linalg.probes import probes
from scalecurv.student import mean_estimate

STREAM = "hutchinson"


def terms(operator: Operand, seed: int, ids: Sequence[int]) -> np.ndarray:
    """One row (z'Az, |Az|^2) for each probe id, shape (len(ids), 2) in float64.

    z is probe number i of the seed, with independent signs. E z'Az = tr A, with variance
    2 (|A|_F^2 - sum_i a_ii^2); E |Az|^2 = tr A^2 for symmetric A. One product a probe.
    (Girard 1989; Hutchinson 1990)
    """
    operator = aslinearoperator(operator)
    Z = probes(operator.shape[0], seed, STREAM, ids, "rademacher", operator.dtype, operator.device)
    AZ = operator.matmat(Z)
    return np.stack([dots(Z, AZ).cpu().numpy(), dots(AZ, AZ).cpu().numpy()], axis=1)


def trace_estimate(rows: np.ndarray, method: str = "hutchinson", confidence: float = 0.95) -> Estimate:
    """tr A from `terms` of shape (m, 2): the mean of the first column."""
    return mean_estimate(rows[:, 0], method, confidence)


def trace_square_estimate(rows: np.ndarray, method: str = "hutchinson", confidence: float = 0.95) -> Estimate:
    """tr A^2 = |A|_F^2 from `terms` of shape (m, 2): the mean of the second column, bounded below by zero."""
    estimate = mean_estimate(rows[:, 1], method, confidence)
    return replace(estimate, lower=max(estimate.lower, 0.0))
