"""How many singular values stand above a share of the largest one."""

import numpy as np

from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.range_finder import SingularValues


def numerical_rank(singular: SingularValues, tau: float) -> Estimate:
    """#{i : sigma_i > tau sigma_1}, with the interval that the truncation error of the sketch leaves open.

    `converged` where the interval is one number, else `lower_bound`: the value is then its lower end.
    """
    values, most = singular.values, singular.values + singular.error
    top = float(values[0])
    lower = int(np.sum(values > tau * most[0]))
    upper = int(np.sum(most > tau * top))
    if not singular.complete and np.max(singular.error) > tau * top:
        upper = min(singular.shape)  # any number of unseen values may lie above the threshold
    if most[0] == 0:
        upper = 0
    status = Status.CONVERGED if lower == upper else Status.LOWER_BOUND
    method, cost = f"singular values above {tau:.3g} of the largest", singular.num_matvecs
    return Estimate.enclosed(lower, lower, upper, method, status, confidence=singular.confidence, num_matvecs=cost)
