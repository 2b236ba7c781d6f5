"""The singular values of the Jacobian, by the cheapest route that its structure and the memory allow."""

from scalecurv.linalg.singular_values import SingularValues, dense_values, gram_values, singular_values
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.elimination import rows_that_fit
from scalecurv.measures.rank.factors import JacobianFactors, factors_of
from scalecurv.measures.rank.outputs import Output, output_seeds, output_slopes
from scalecurv.mlp.layers import listed_mlp, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered

DENSE = 4  # J is written out where it takes at most 1 / DENSE of the memory
WORK = 2e12  # operations that the products of a range finder may take, each of 6 N P
PRODUCTS = 64  # products that it may always take


@remembered
def jacobian_values(evaluation: Evaluation, memory: int, output: Output, every: bool = False) -> SingularValues:
    """Return the singular values of J in float64, whatever the dtype of the problem; remembered.

    For an MLP they come from J where it fits into the memory, and from J J' where that alone fits and the activations
    are piecewise linear, without a product. For other models, and for more rows than fit, they come from a range
    finder's products with J and J'. These take at most WORK operations, or PRODUCTS where that is more; with `every`
    only the memory limits them. Raises Misuse for an `output` that is not known, or that the model does not have.
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
    products = max(PRODUCTS, int(WORK / (6.0 * problem.num_data * problem.num_params)))
    return singular_values(operator, evaluation.seed, memory, None if every else products)


def _factors(problem: Problem, memory: int, output: Output) -> JacobianFactors | None:
    """Return the factors of all of J where J or, for piecewise-linear activations, J J' fits, else None."""
    mlp = listed_mlp(problem)
    if mlp is None:
        return None
    rows = problem.num_data * problem.num_outputs
    written = 8 * rows * problem.num_params <= memory // DENSE
    if not written and not (mlp.piecewise_linear and rows <= rows_that_fit(memory)):
        return None
    if 8 * rows * sum(mlp.widths) > memory // 2:
        return None
    opened = open_batch(problem, mlp, problem.whole)
    return factors_of(opened, output_slopes(opened.outputs, output))
