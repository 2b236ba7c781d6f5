"""The singular values of the Jacobian, on the cheapest road that its structure and the memory allow."""

from scalecurv.linalg.singular_values import SingularValues, dense_values, gram_values, singular_values
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import rows_that_fit
from scalecurv.measures.rank.factors import JacobianFactors, factors_of
from scalecurv.measures.rank.outputs import Output, output_seeds, output_slopes
from scalecurv.mlp.layers import open_batch, structure_of
from scalecurv.problem.problem import Problem

DENSE = 4  # J may take this fraction of the memory, where it is written out


def jacobian_values(evaluation: Evaluation, memory: int, output: Output) -> SingularValues:
    """Of J in float64, whatever the dtype of the problem, remembered.

    A piecewise-linear MLP gives J itself, or where it outgrows the memory J J', without a product; other models, and
    more rows than fit, take the range finder's products with J and J'.
    """
    return evaluation.once(("singular values", memory, output), lambda: _values(evaluation, memory, output))


def _values(evaluation: Evaluation, memory: int, output: Output) -> SingularValues:
    problem = evaluation.double
    output_seeds(problem.num_outputs, output)  # refuses what has no answer
    if (factors := _factors(problem, memory, output)) is not None:
        rows, columns = factors.shape
        if 8 * rows * columns <= memory // DENSE:
            return dense_values(factors.dense())
        terms = max(r.shape[2] + a.shape[1] for r, a in zip(factors.rows, factors.inputs, strict=True))
        return gram_values(factors.gram(), terms + len(factors.rows), factors.shape)
    operator = evaluation.jacobian if output == "logits" else evaluation.prob_jacobian
    return singular_values(operator, evaluation.seed, memory)


def _factors(problem: Problem, memory: int, output: Output) -> JacobianFactors | None:
    """All of J, factored, where it or its inner products fit into the memory."""
    mlp = structure_of(problem)
    rows = problem.num_data * problem.num_outputs
    if mlp is None or (8 * rows * problem.num_params > memory // DENSE and rows > rows_that_fit(memory)):
        return None
    if 8 * rows * sum(mlp.widths) > memory // 2:
        return None
    opened = open_batch(problem, mlp, problem.whole)
    return factors_of(opened, output_slopes(opened.outputs, output))
