"""Whether the data is fitted exactly: there H is positive semidefinite and the chain of bounds applies."""

from scalecurv.curvature.risk import sum_over_data
from scalecurv.measures.evaluation import Evaluation

FITTED = 1e-6  # of max(|y|, 1), largest residual in float64


def interpolates(evaluation: Evaluation) -> bool:
    """Whether the loss is mse and max |f - y| <= 1e-6 max(max |y|, 1) in float64, remembered."""
    problem = evaluation.double
    if problem.loss.name != "mse":
        return False

    def compute() -> bool:
        largest = problem.shard.largest(float(problem.y.abs().max()), problem.device)
        bound = FITTED * max(largest, 1.0)
        over = sum_over_data(
            problem, lambda batch: ((problem.outputs(problem.theta, batch.x) - batch.y).abs() > bound).sum()
        )
        return float(over) == 0

    return evaluation.once("interpolates", compute)
