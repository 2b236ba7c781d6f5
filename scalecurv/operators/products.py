"""The products of one mini-batch by the fastest road: in closed form for a perceptron, else by autograd."""

from dataclasses import replace

import torch
from torch import Tensor

from scalecurv.autodiff.backends import Linearized, Product
from scalecurv.mlp.closed_form import NAME, closed_form, pass_of
from scalecurv.mlp.passes import opened
from scalecurv.problem import graphs, risk
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
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
    bend = graphs.loss_bend(problem, batch)(side.f)
    return lambda V: side.pull(bend(side.push(V)))


def residual_product(problem: Problem, batch: Batch) -> Product:
    """Return V -> R V for one mini-batch, (P, k) each, R = H - G = sum_i sum_k (c dloss_i / df_k) grad^2 f_k(x_i)."""
    mlp = closed_form(problem)
    if mlp is None:
        return graphs.residual_product(problem, batch)
    return replace(pass_of(problem, mlp, batch), second=lambda f: torch.zeros_like).hessian


def linearized(problem: Problem, batch: Batch, prob: bool = False) -> Linearized:
    """Return f (B, D) and the products with J and J' for one mini-batch; with `prob` those of its softmax."""
    mlp = closed_form(problem)
    if mlp is None:
        side = graphs.linearized(problem, batch)
    else:
        made = pass_of(problem, mlp, batch)
        side = Linearized(made.outputs, made.push, made.pull)
    return _softmax(side) if prob else side


def _softmax(side: Linearized) -> Linearized:
    """Return p = softmax(f) and the products with S J and J' S, where S = diag p - p p' at each sample."""
    p = side.f.softmax(1)

    def turned(U: Tensor) -> Tensor:
        weighed = p * U.T.reshape(U.shape[1], *p.shape)
        return (weighed - p * weighed.sum(2, keepdim=True)).flatten(1).T

    return Linearized(p, lambda V: turned(side.push(V)), lambda U: side.pull(turned(U)))


def loss_and_gradient(problem: Problem) -> tuple[float, Tensor]:
    """Return L and g = grad L (P,) in the problem's dtype, weight decay included, from the passes that are kept."""
    mlp = closed_form(problem)
    if mlp is None:
        return risk.loss_and_gradient(problem)
    return risk.loss_and_gradient(problem, lambda batch: pass_of(problem, mlp, batch).gradient())


@remembered
def check_products(problem: Problem) -> None:
    """Check the products with H, J and J' that the operators take, and the gradient, as `check_derivatives` does.

    Raises CheckpointError; remembered.
    """
    mlp = closed_form(problem)
    check_derivatives(problem, None if mlp is None else lambda at, batch: opened(at, mlp, batch))


def differentiation(problem: Problem) -> str:
    """Return the name of the road of the products, for the provenance of a record."""
    return NAME if closed_form(problem) is not None else graphs.backend_of(problem).name
