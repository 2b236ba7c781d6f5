"""The Lanczos run that the ends of the spectrum are read from, and whose basis others may reuse."""

from scalecurv.linalg.extremes import Extremes, extreme_eigenvalues
from scalecurv.measures.budget import Budget
from scalecurv.measures.evaluation import Evaluation


def krylov_run(evaluation: Evaluation, rtol: float, max_matvecs: int, memory: int) -> Extremes:
    """Both ends of H's spectrum with the factorization behind them, remembered; its basis is within `memory` bytes."""
    problem = evaluation.problem
    steps = Budget(max_matvecs).lanczos_within(memory, problem.num_params * problem.dtype.itemsize)
    return evaluation.once(
        ("krylov", rtol, steps), lambda: extreme_eigenvalues(evaluation.hessian, evaluation.seed, rtol, steps)
    )
