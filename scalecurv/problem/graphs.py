"""The backend of a problem's derivatives, and products whose graph is kept from one product to the next."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch

from scalecurv.autodiff.backends import AUTOGRAD, TORCH_FUNC, Backend, Linearized, Product, Scalar, nodes
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.errors import is_memory
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import recognise_mlp
from scalecurv.problem.user_model import quoted
from scalecurv.samples.batch import Batch

T = TypeVar("T")
APART = 1e-2  # of a product: two backends that take the same derivative never differ by more
SHARE = 8  # of `memory` that stored graphs of one kind take: H and J, in two dtypes; temporaries take the other half
GRAPH = 3  # scalars that a stored graph of the gradient holds for each activation, at most; measured 0.8 to 2.6


def backend_of(problem: Problem) -> Backend:
    """Return torch.func where it takes the model, else plain autograd; the first two samples decide, on all ranks.

    An MLP that `recognise_mlp` finds, with a loss of known factor, is not tried. The choice is made once for the
    problem and for the copies that are made afterwards.
    """
    if problem.backend is None:
        listed = recognise_mlp(problem.model) is not None and problem.loss.factor is not None
        problem.backend = TORCH_FUNC if listed or _takes(problem, TORCH_FUNC) else AUTOGRAD
    return problem.backend


def _two_samples(problem: Problem) -> Batch:
    """Return the first two samples of the data set, the same on every rank."""
    return Batch(problem.sample[:2], problem.sample_targets[:2], 0)


def _takes(problem: Problem, backend: Backend) -> bool:
    """Return True where gradient, H, J and J' of two samples come out, two vectors at once and without a warning."""
    pair = _two_samples(problem)
    V = torch.zeros(problem.num_params, 2, dtype=problem.dtype, device=problem.device)
    V[0] = 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loss = batch_loss(problem, pair)
            backend.gradient(loss, problem.theta)
            product = backend.hessian(loss, problem.theta)(V)
            side = backend.linearized(lambda theta: problem.outputs(theta, pair.x), problem.theta)
            side.pull(side.push(V))
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's model may not suit this backend: the other one reports its errors
            if is_memory(error):
                raise
            return False
        if any("performance drop" in str(warning.message) for warning in caught):  # vmap has no rule for an operation
            return False
        return _alike(product, loss, problem, V)


def _alike(product: torch.Tensor, loss: Scalar, problem: Problem, V: torch.Tensor) -> bool:
    """Return False where plain autograd takes the model and gives another product, as scripted functions may."""
    try:
        other = AUTOGRAD.hessian(loss, problem.theta)(V)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the only other backend fails: there is nothing to compare with
        if is_memory(error):
            raise
        return True
    return not float((product - other).norm()) > APART * float(other.norm())


def batch_loss(problem: Problem, batch: Batch) -> Scalar:
    """Return theta -> c sum of the loss over the samples of one batch, weight decay left out."""

    def loss(theta: torch.Tensor) -> torch.Tensor:
        f = problem.outputs(theta, batch.x)
        with twice_differentiable() if problem.loss.foreign else nullcontext():
            return problem.scale * problem.loss.total(f, batch.y)

    return loss


def loss_of_outputs(problem: Problem, batch: Batch) -> Scalar:
    """Return f -> c sum of the loss over the samples of one batch, for outputs f of any shape with B D entries.

    It keeps the batch's targets alive and not the problem, and so may be filed in the problem's cache.
    """
    scale, total, shape, y = problem.scale, problem.loss.total, (-1, problem.num_outputs), batch.y
    return lambda f: scale * total(f.reshape(shape), y)


def loss_bend(problem: Problem, batch: Batch) -> Callable[[torch.Tensor], Product]:
    """Return f -> (U -> M U), U of shape (B D, k), where M holds c d^2 loss / df^2 of each sample at its outputs f.

    It keeps the batch's targets alive and not the problem, and so may be filed in the problem's cache.
    """
    known, scale, y = problem.loss.bend, problem.scale, batch.y
    if known is not None:

        def by_form(f: torch.Tensor) -> Product:
            assert isinstance(y, torch.Tensor)  # losses of several targets are the user's own, and not known

            def bent(U: torch.Tensor) -> torch.Tensor:
                k = U.shape[1]
                at, targets = (t.expand(k, *t.shape).reshape(k * len(t), *t.shape[1:]) for t in (f, y))
                return scale * known(at, targets, U.T.reshape(k * len(f), -1)).reshape(k, -1).T

            return bent

        return by_form

    loss, model, backend = loss_of_outputs(problem, batch), problem.model, backend_of(problem)
    what = f"the second derivative of loss {problem.loss.name}"

    def by_graph(f: torch.Tensor) -> Product:
        with quoted(model, what), twice_differentiable():
            return backend.hessian(loss, f.flatten())

    return by_graph


def hessian_product(problem: Problem, batch: Batch) -> Product:
    """Return V -> H_b V, (P, k) to (P, k), for the loss of one mini-batch."""

    def make() -> Product:
        return backend_of(problem).hessian(batch_loss(problem, batch), problem.theta)

    key = (hessian_product,)
    product = _stored(problem, key, batch, make, "the gradient, to be differentiated again")
    return _quoting(problem, product, "a product with the Hessian")


def residual_product(problem: Problem, batch: Batch) -> Product:
    """Return V -> R_b V, (P, k) to (P, k), R_b the Hessian of sum_i sum_k (c dloss_i / df_k) f_k(x_i).

    The factors c dloss_i / df_k are held fixed. A product takes what one with the Hessian does, without the second
    derivatives of the loss.
    """
    backend = backend_of(problem)
    with torch.no_grad(), quoted(problem.model, "the outputs"):
        f = problem.outputs(problem.theta, batch.x)
    with quoted(problem.model, "the gradient of the loss in the outputs"):
        slope, _ = backend.gradient(loss_of_outputs(problem, batch), f)

    def weighted(theta: torch.Tensor) -> torch.Tensor:
        return (problem.outputs(theta, batch.x) * slope).sum()

    with quoted(problem.model, "the gradient, to be differentiated again"):
        product = backend.hessian(weighted, problem.theta)
    return _quoting(problem, product, "a product with the Hessian of the outputs")


def linearized(problem: Problem, batch: Batch) -> Linearized:
    """Return f and the products with J and J' for one mini-batch."""

    def make() -> Linearized:
        return backend_of(problem).linearized(lambda theta: problem.outputs(theta, batch.x), problem.theta)

    made = _stored(problem, (linearized,), batch, make, "the outputs, to be differentiated")
    push = _quoting(problem, made.push, "a product with the Jacobian")
    return Linearized(made.f, push, _quoting(problem, made.pull, "a product with the Jacobian's transpose"))


def _stored(problem: Problem, key: tuple[object, ...], batch: Batch, make: Callable[[], T], what: str) -> T:
    """Return make(), or what it returned before for these samples, where its graph fits into its share of the memory.

    `key` names the function. The graphs of as many mini-batches are kept as fit: each product then saves their passes.
    """
    place = (*key, batch.start, len(batch.x))
    if place in problem.cache:
        return problem.cache[place]
    with quoted(problem.model, what):
        made = make()
    scalars = GRAPH * problem.footprint.activations * len(batch.x) + 2 * problem.num_params
    if fits(problem, key, scalars * problem.dtype.itemsize, SHARE):
        problem.cache[place] = made
    return made


def fits(problem: Problem, key: tuple[object, ...], num_bytes: int, share: int) -> bool:
    """Return True where all that is kept under `key`, with `num_bytes` more, takes at most 1 / `share` of the memory.

    The bytes are then counted as kept.
    """
    total = problem.cache.get(("bytes", *key), 0) + num_bytes
    if total > problem.memory // share:
        return False
    problem.cache["bytes", *key] = total
    return True


def _quoting(problem: Problem, product: Product, what: str) -> Product:
    """Return the product with the errors of the user's model turned into lines that name `what`, the thing computed."""

    def quoting(V: torch.Tensor) -> torch.Tensor:
        with quoted(problem.model, what):
            return product(V)

    return quoting


@remembered
def inner_eps(problem: Problem) -> float:
    """Return the eps of the narrowest floats inside loss and model, 0 where none is narrower than the problem's.

    The floats are read off the graph of two samples; those inside a user's own autograd.Function are not seen.
    """
    pair = _two_samples(problem)
    point = problem.theta.detach().requires_grad_()
    with torch.enable_grad():
        value = problem.loss.total(problem.outputs(point, pair.x, cast=False), pair.y)
    own, widest = torch.finfo(problem.dtype).eps, 0.0
    for node in nodes(value):
        for made in getattr(node, "_input_metadata", ()):
            if made.dtype.is_floating_point or made.dtype.is_complex:
                widest = max(widest, torch.finfo(made.dtype).eps)
    return widest if widest > own else 0.0
