"""The curvature of single samples: the quadratic forms u'H_i v for all of them, and the products of a few."""

from collections.abc import Iterable

import torch
from torch import Tensor

from scalecurv.autodiff.backends import Product
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.mlp.closed_form import closed_form
from scalecurv.mlp.layers import residuals
from scalecurv.mlp.passes import opened
from scalecurv.operators.products import linearized
from scalecurv.problem.graphs import backend_of, batch_loss, loss_bend
from scalecurv.problem.problem import Problem
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch


def sample_forms(problem: Problem, batch: Batch, U: Tensor) -> Tensor:
    """Return u_a' H_i u_b for each sample i of a batch, (B, k, k), for the columns of U (P, k).

    H_i is the second derivative of c loss_i, weight decay left out, so that the forms sum to that of the batch's
    Hessian. With F_i'' the second derivative of the outputs,

        u'H_i v = (J_i u)' M_i (J_i v) + (c dloss_i / df)' F_i''[u, v].

    The second part is linear in a weight of each sample, by which a product with the weighted sum is differentiated:
    one backward pass gives a pair of vectors for all samples. Raises CheckpointError where torch cannot differentiate
    the model three times.
    """
    side, B, k = linearized(problem, batch), len(batch.x), U.shape[1]
    pushed = side.push(U)
    bent = loss_bend(problem, batch)(side.f)(pushed)
    forms = torch.einsum("bda,bdc->bac", pushed.reshape(B, -1, k), bent.reshape(B, -1, k))
    slopes = residuals(problem, batch, side.f)
    weights = slopes.new_ones(B, requires_grad=True)
    point = problem.theta.detach().requires_grad_()
    rest = torch.zeros_like(forms)
    with quoted(problem.model, "the curvature of single samples"), torch.enable_grad(), twice_differentiable():
        weighted = (weights[:, None] * slopes * problem.outputs(point, batch.x)).sum()
        slope = _derivative(weighted, point)
        for a in range(k):
            product = _derivative(slope @ U[:, a], point)
            for b in range(a, k):
                rest[:, a, b] = rest[:, b, a] = _derivative(product @ U[:, b], weights, again=False)
    return forms + rest


def _derivative(value: Tensor, at: Tensor, again: bool = True) -> Tensor:
    """Return the derivative of a number, 0 where it does not depend on `at`; its graph stays."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    (found,) = torch.autograd.grad(value, at, retain_graph=True, create_graph=again, materialize_grads=True)
    return found


def slope_and_product(problem: Problem, batch: Batch) -> tuple[Tensor, Product]:
    """Return the gradient (P,) of c times the loss of a few samples, and V -> H V; weight decay is left out.

    Nothing is kept for later products: the graphs of a few samples would take the place of those of the mini-batches.
    """
    mlp = closed_form(problem)
    if mlp is not None:
        made = opened(problem, mlp, batch)
        return made.gradient()[:-1], made.hessian
    backend, loss = backend_of(problem), batch_loss(problem, batch)
    with quoted(problem.model, "the gradient of a few samples, to be differentiated again"):
        return backend.gradient(loss, problem.theta)[0], backend.hessian(loss, problem.theta)


def sample_squares(problem: Problem, batch: Batch, blocks: Iterable[Tensor]) -> Tensor:
    """Return |H_i z|^2 for each sample i of a batch and each column z of its block (P, q), shape (B, q) in float64.

    H_i is the second derivative of c loss_i, weight decay left out. One product with a single sample a vector.
    """
    found = []
    for i, Z in zip(range(len(batch.x)), blocks, strict=True):
        one = Batch(batch.x[i : i + 1], batch.y[i : i + 1], batch.start + i)
        found.append(slope_and_product(problem, one)[1](Z).double().square().sum(0))
    return torch.stack(found)
