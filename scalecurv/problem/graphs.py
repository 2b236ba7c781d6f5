"""Which road a problem's derivatives take, and the graphs that are kept from one product to the next."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch

from scalecurv.autodiff.backends import AUTOGRAD, TORCH_FUNC, Backend, Linearized, Product, Scalar, nodes
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.problem.footprint import COPIES
from scalecurv.problem.problem import Batch, Problem
from scalecurv.problem.structure import recognise_mlp
from scalecurv.problem.user_model import quoted

T = TypeVar("T")
APART = 1e-2  # of a product, by which roads that take the same derivative never differ
SHARE = 4  # of `memory` that one kept graph may take: two are kept, and temporaries take half


def backend_of(problem: Problem) -> Backend:
    """torch.func where the model takes it, else plain autograd: found by a trial on two samples, remembered.

    A model of listed layers is not tried. The samples are the first of all, the same on every rank.
    """
    if problem.backend is None:
        listed = recognise_mlp(problem.model) is not None and problem.loss.factor is not None
        problem.backend = TORCH_FUNC if listed or _takes(problem, TORCH_FUNC) else AUTOGRAD
    return problem.backend


def _takes(problem: Problem, road: Backend) -> bool:
    """Whether gradient, H, J and J' of two samples come out, two vectors at once and without a missing rule."""
    few = Batch(problem.few[:2], problem.few_targets[:2], 0)
    V = torch.zeros(problem.num_params, 2, dtype=problem.dtype, device=problem.device)
    V[0] = 1
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            loss = batch_loss(problem, few)
            road.gradient(loss, problem.theta)
            product = road.hessian(loss, problem.theta)(V)
            side = road.linearized(lambda theta: problem.outputs(theta, few.x), problem.theta)
            side.pull(side.push(V))
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's model on a road that may not be its own: the other one speaks
            if "can't allocate memory" in str(error):
                raise
            return False
        if any("performance drop" in str(warning.message) for warning in said):
            return False
        return _alike(product, loss, problem, V)


def _alike(product: torch.Tensor, loss: Scalar, problem: Problem, V: torch.Tensor) -> bool:
    """Whether plain autograd, where it takes the model, gives the same product: a scripted function may not."""
    try:
        other = AUTOGRAD.hessian(loss, problem.theta)(V)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # then there is nothing to choose from
        return True
    return not float((product - other).norm()) > APART * float(other.norm())


def batch_loss(problem: Problem, batch: Batch) -> Scalar:
    """theta -> c sum of the loss over the samples of one batch, weight decay left out."""

    def loss(theta: torch.Tensor) -> torch.Tensor:
        f = problem.outputs(theta, batch.x)
        with twice_differentiable() if problem.loss.foreign else nullcontext():
            return problem.scale * problem.loss.total(f, batch.y)

    return loss


def hessian_product(problem: Problem, batch: Batch) -> Product:
    """V -> H_b V, (P, k) to (P, k), for the loss of one mini-batch."""
    made = _kept(
        problem,
        "hessian",
        batch,
        lambda: backend_of(problem).hessian(batch_loss(problem, batch), problem.theta),
        "the gradient, to be differentiated again",
    )
    return _asked(problem, made, "a product with the Hessian")


def linearized(problem: Problem, batch: Batch, prob: bool = False) -> Linearized:
    """f, J and J' for one mini-batch; with `prob` those of its softmax."""

    def outputs(theta: torch.Tensor) -> torch.Tensor:
        f = problem.outputs(theta, batch.x)
        return f.softmax(1) if prob else f

    kind, asked = ("prob jacobian" if prob else "jacobian"), "the outputs, to be differentiated"
    made = _kept(problem, kind, batch, lambda: backend_of(problem).linearized(outputs, problem.theta), asked)
    push = _asked(problem, made.push, "a product with the Jacobian")
    return Linearized(made.f, push, _asked(problem, made.pull, "a product with the Jacobian's transpose"))


def _kept(problem: Problem, kind: str, batch: Batch, make: Callable[[], T], asked: str) -> T:
    """make(), or what it returned before where the graph of all samples fits: a pass saved at every product."""
    graph = ("graph", kind)
    if graph in problem.cache and len(batch.x) == problem.num_local:
        return problem.cache[graph]
    with quoted(problem.model, asked):
        made = make()
    size = (COPIES * problem.footprint.activations * len(batch.x) + 4 * problem.num_params) * problem.dtype.itemsize
    if len(batch.x) == problem.num_local and size <= problem.memory // SHARE:
        problem.cache[graph] = made
    return made


def _asked(problem: Problem, product: Product, what: str) -> Product:
    def quoting(V: torch.Tensor) -> torch.Tensor:
        with quoted(problem.model, what):
            return product(V)

    return quoting


def inner_eps(problem: Problem) -> float:
    """The eps of the narrowest floats that loss and model compute in on the way, 0 where none is below the problem's.

    Seen on two samples, in the graph: what a Function of the user's own does within is not. Remembered.
    """
    if "inner eps" not in problem.cache:
        problem.cache["inner eps"] = _narrowest(problem, Batch(problem.few[:2], problem.few_targets[:2], 0))
    return problem.cache["inner eps"]


def _narrowest(problem: Problem, few: Batch) -> float:
    point = problem.theta.detach().requires_grad_()
    with torch.enable_grad():
        value = problem.loss.total(problem.outputs(point, few.x, cast=False), few.y)
    own, widest = torch.finfo(problem.dtype).eps, 0.0
    for node in nodes(value):
        for made in getattr(node, "_input_metadata", ()):
            if made.dtype.is_floating_point or made.dtype.is_complex:
                widest = max(widest, torch.finfo(made.dtype).eps)
    return widest if widest > own else 0.0
