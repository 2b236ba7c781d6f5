"""The products of one mini-batch by the fastest road: in closed form for a perceptron, else by autograd."""

from scalecurv.autodiff.backends import Linearized, Product
from scalecurv.mlp.closed_form import NAME, closed_form, pass_of
from scalecurv.problem import graphs
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch


def hessian_product(problem: Problem, batch: Batch) -> Product:
    """Return V -> H V for one mini-batch, (P, k) each; weight decay is left out."""
    mlp = closed_form(problem)
    return graphs.hessian_product(problem, batch) if mlp is None else pass_of(problem, mlp, batch).hessian


def gauss_newton_product(problem: Problem, batch: Batch) -> Product:
    """Return V -> J'M J V for one mini-batch, (P, k) each, where M holds c d^2 loss / df^2 of each sample."""
    mlp = closed_form(problem)
    if mlp is not None:
        return pass_of(problem, mlp, batch).gauss_newton
    side = graphs.linearized(problem, batch)
    bend = graphs.loss_bend(problem, side.f, batch)
    return lambda V: side.pull(bend(side.push(V)))


def linearized(problem: Problem, batch: Batch, prob: bool = False) -> Linearized:
    """Return f (B, D) and the products with J and J' for one mini-batch; with `prob` those of its softmax."""
    mlp = None if prob else closed_form(problem)
    if mlp is None:
        return graphs.linearized(problem, batch, prob)
    made = pass_of(problem, mlp, batch)
    return Linearized(made.outputs, made.push, made.pull)


def differentiation(problem: Problem) -> str:
    """Return the name of the road of the products, for the provenance of a record."""
    return NAME if closed_form(problem) is not None else graphs.backend_of(problem).name
