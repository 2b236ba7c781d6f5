"""The Hessian of one loss in four other libraries, each set up as its own documentation shows.

Each peer multiplies blocks of vectors, estimates the trace by its own best methods for a given number of products, and
says how many products its own method takes until the largest eigenvalue is right. What was followed:

    PyHessian 0.1                https://github.com/amirgholami/PyHessian, README and Hessian_Tutorial.ipynb
    curvlinops 3.0.1             https://curvlinops.readthedocs.io, "Basic usage" and "Trace and diagonal estimation"
    hessian-eigenthings 1.0.0a5  https://github.com/noahgolmant/pytorch-hessian-eigenthings, README
    skerch 1.2.0                 https://skerch.readthedocs.io, which sketches the Hessian of curvlinops
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

MOST = 128  # products that a peer may take for one eigenvalue
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # of eigsh, loosest first


@dataclass(frozen=True)
class Loss:
    """A model, all of its data and the mean loss, as a training loop has them."""

    model: nn.Module
    x: Tensor
    y: Tensor
    criterion: nn.Module

    def gradient(self) -> tuple[Tensor, ...]:
        """Return one plain gradient: what all costs are measured in."""
        value = self.criterion(self.model(self.x), self.y)
        return torch.autograd.grad(value, tuple(self.model.parameters()))


class HalfSquares(nn.Module):
    """|f - y|^2 / 2, summed over the outputs, mean over the samples: the loss that scalecurv calls mse."""

    reduction = "mean"

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return ((f - y) ** 2).sum() / 2 / len(f)


@dataclass(frozen=True)
class Peer:
    """Products, traces and the largest eigenvalue of one library.

    `block` is H V of V (P, k). `traces` are estimators of tr H by name, each from (products, seed), where the number of
    products is a multiple of six. `largest` returns the least number of products after which the library's method is
    within a share of the true value, from (truth, share, seed); None where it is not within MOST products.
    """

    name: str
    block: Callable[[Tensor], Tensor]
    largest: Callable[[float, float, int], int | None]
    traces: Mapping[str, Callable[[int, int], float]] = field(default_factory=dict)


def peers(loss: Loss) -> list[Peer]:
    """Return all four at the present weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their imports, and of backward(create_graph=True)
        return [make(loss) for make in MAKERS.values()]


def fewest(value: Callable[[int], float], truth: float, share: float, least: int = 1) -> int | None:
    """Return the least number of steps after which `value` is within `share` of the truth: doubled, then bisected."""

    def right(steps: int) -> bool:
        return abs(value(steps) - truth) <= share * abs(truth)

    low, high = least - 1, least
    while not right(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if right(middle) else (middle, high)
    return high


def _pyhessian(loss: Loss) -> Peer:
    """The graph of the gradient is kept; the eigenvalue comes from a power iteration, the trace from Hutchinson."""
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    H = hessian(loss.model, loss.criterion, data=(loss.x, loss.y), cuda=False)
    sizes, shapes = [p.numel() for p in H.params], [p.shape for p in H.params]

    def product(v: Tensor) -> Tensor:
        pieces = [piece.view(shape) for piece, shape in zip(v.split(sizes), shapes, strict=True)]
        return torch.cat([part.flatten() for part in hessian_vector_product(H.gradsH, H.params, pieces)]).detach()

    def value(steps: int, seed: int) -> float:
        torch.manual_seed(seed)
        return float(H.eigenvalues(maxIter=steps, tol=0.0, top_n=1)[0][0])

    def largest(truth: float, share: float, seed: int) -> int | None:
        return fewest(lambda steps: value(steps, seed), truth, share)

    return Peer("PyHessian", _by_columns(product), largest)


def _hessian_of_curvlinops(loss: Loss) -> Any:
    from curvlinops import HessianLinearOperator

    parameters = [p for p in loss.model.parameters() if p.requires_grad]
    return HessianLinearOperator(loss.model, loss.criterion, parameters, [(loss.x, loss.y)])


def _curvlinops(loss: Loss) -> Peer:
    """Products of matrices; Hutch++ and XTrace; SciPy's eigsh with its own 20 basis vectors for the eigenvalue."""
    from curvlinops import hutchpp_trace, xtrace

    H = _hessian_of_curvlinops(loss)

    def trace_by(estimator: Callable[..., Tensor]) -> Callable[[int, int], float]:
        def trace(count: int, seed: int) -> float:
            torch.manual_seed(seed)
            return float(estimator(H, count))

        return trace

    def largest(truth: float, share: float, seed: int) -> int | None:
        return fewest_of_eigsh(H.to_scipy(), truth, share, seed)

    return Peer(
        "curvlinops", lambda V: H @ V, largest, {"hutch++": trace_by(hutchpp_trace), "xtrace": trace_by(xtrace)}
    )


def fewest_of_eigsh(A: Any, truth: float, share: float, seed: int) -> int | None:
    """Return the products of eigsh at the loosest of TOLERANCES with which its eigenvalue is right."""
    start = np.random.default_rng(seed).standard_normal(A.shape[0]).astype(A.dtype)
    for tol in TOLERANCES:
        spent = []

        def product(v: np.ndarray, spent: list[int] = spent) -> np.ndarray:
            spent.append(1)
            return A.matvec(v)

        counted = scipy.sparse.linalg.LinearOperator(A.shape, product, dtype=A.dtype)
        value = scipy.sparse.linalg.eigsh(counted, 1, which="LA", tol=tol, v0=start, return_eigenvectors=False)[0]
        if abs(value - truth) <= share * abs(truth):
            return len(spent)
    return None


def _eigenthings(loss: Loss) -> Peer:
    """One product at a time; Hutch++ is its default for the trace; Lanczos for the eigenvalue."""
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss, trace

    H = HessianOperator(loss.model, [(loss.x, loss.y)], supervised_loss(loss.criterion))

    def value(steps: int, seed: int) -> float:
        return float(lanczos(H, k=1, max_iter=steps, which="LA", seed=seed).eigenvalues[0])

    def largest(truth: float, share: float, seed: int) -> int | None:
        return fewest(lambda steps: value(steps, seed), truth, share)

    traces = {"hutch++": lambda count, seed: trace(H, num_matvecs=count, method="hutch++", seed=seed).estimate}
    return Peer("hessian-eigenthings", _by_columns(H.matvec), largest, traces)


class _FromBothSides:
    """A symmetric operator of curvlinops with the products V @ H that skerch asks for."""

    def __init__(self, H: Any):
        self.H, self.shape = H, H.shape

    def __matmul__(self, V: Tensor) -> Tensor:
        return self.H @ V

    def __rmatmul__(self, V: Tensor) -> Tensor:
        return (self.H @ V.mT).mT


def _skerch(loss: Loss) -> Peer:
    """Sketches of a foreign operator: XTrace for the trace, the Hermitian sketch (HMT) for the eigenvalue."""
    from skerch.algorithms import seigh, xhutchpp

    H = _FromBothSides(_hessian_of_curvlinops(loss))
    like = (loss.x.device, loss.x.dtype)

    def trace(count: int, seed: int) -> float:
        return float(xhutchpp(H, *like, x_dims=count // 2, seed=seed, return_diag=False)["tr"])

    def value(steps: int, seed: int) -> float:
        return float(seigh(H, *like, steps, seed=seed, recovery_type="hmt")[0].max())

    def largest(truth: float, share: float, seed: int) -> int | None:
        steps = fewest(lambda steps: value(steps, seed), truth, share)
        return None if steps is None else 2 * steps  # the sketch, then H in its range

    return Peer("skerch", lambda V: H @ V, largest, {"xtrace": trace})


def _by_columns(product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda V: torch.stack([product(v) for v in V.T], 1)


MAKERS: dict[str, Callable[[Loss], Peer]] = {
    "PyHessian": _pyhessian,
    "curvlinops": _curvlinops,
    "hessian-eigenthings": _eigenthings,
    "skerch": _skerch,
}


MAKERS: dict[str, Callable[[Loss], Peer]] = {
    "PyHessian": _pyhessian,
    "curvlinops": _curvlinops,
    "hessian-eigenthings": _eigenthings,
    "skerch": _skerch,
}
