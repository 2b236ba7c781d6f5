"""The singular values of the Jacobian, by the cheapest route that its structure and the memory allow."""

from scalecurv.linalg.singular_values import SingularValues, dense_values, gram_values, singular_values
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import rows_that_fit
from scalecurv.measures.rank.factors import JacobianFactors, factors_of
from scalecurv.measures.rank.outputs import Output, output_seeds, output_slopes
from scalecurv.mlp.layers import open_batch, structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered

DENSE = 4  # J is written out where it takes at most 1 / DENSE of the memory


@remembered
def jacobian_values(evaluation: Evaluation, memory: int, output: Output) -> SingularValues:
    """Return the singular values of J in float64, whatever the dtype of the problem; remembered.

    For a piecewise-linear MLP they come from J, or from J J' where J does not fit into the memory, without a product.
    For other models, and for more rows than fit, they come from a range finder's products with J and J'. Raises Misuse
    for an `output` that is not known, or that the model does not have.
    """
    problem = evaluation.double
    output_seeds(problem.num_outputs, output)  # raises Misuse
    if (factors := _factors(problem, memory, output)) is not None:
        rows, columns = factors.shape
        if 8 * rows * columns <= memory // DENSE:
            return dense_values(factors.dense())
        terms = max(r.shape[2] + a.shape[1] for r, a in zip(factors.rows, factors.inputs, strict=True))
        return gram_values(factors.gram(), terms + len(factors.rows), factors.shape)
    operator = evaluation.jacobian if output == "logits" else evaluation.prob_jacobian
    return singular_values(operator, evaluation.seed, memory)


def _factors(problem: Problem, memory: int, output: Output) -> JacobianFactors | None:
    """Return the factors of all of J where J or J J' fits into the memory, else None."""
    mlp = structure_of(problem)
    rows = problem.num_data * problem.num_outputs
    if mlp is None or (8 * rows * problem.num_params > memory // DENSE and rows > rows_that_fit(memory)):
        return None
    if 8 * rows * sum(mlp.widths) > memory // 2:
        return None
    opened = open_batch(problem, mlp, problem.whole)
    return factors_of(opened, output_slopes(opened.outputs, output))
