"""The second derivative of any loss as signed columns: c d^2 loss_i / df^2 = sum_k e_ik u_ik u_ik'."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.problem.graphs import loss_bend
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch


@dataclass(frozen=True)
class Columns:
    """Columns u of shape (B, D, K) and their signs e (B, K), of 1, 0 and -1; None where all are 1."""

    values: Tensor
    signs: Tensor | None = None

    def turned(self, squares: Tensor, k: int) -> Tensor:
        """Return each sample's squares (B,) along column k with the column's sign."""
        return squares if self.signs is None else squares * self.signs[:, k]

    def some(self, rows: slice) -> "Columns":
        """Return the columns of some of the samples."""
        return Columns(self.values[rows], None if self.signs is None else self.signs[rows])


def loss_columns(problem: Problem, batch: Batch, f: Tensor) -> Columns:
    """Return the columns of the loss at the outputs f (B, D), K = D.

    They are those of sqrt(c) F_i where the loss has a factor. Else they are eigenvectors of the second derivative by
    autograd, each of the length sqrt(|lambda|) and with the sign of lambda, so that the loss need not be convex.
    """
    if problem.loss.factor is not None:
        return Columns(problem.scale**0.5 * problem.loss.factor(f, batch.y))
    B, D = f.shape
    units = torch.eye(D, dtype=f.dtype, device=f.device).repeat(B, 1)
    bend = loss_bend(problem, batch)(f)(units).view(B, D, D)
    values, vectors = torch.linalg.eigh((bend + bend.mT) / 2)
    return Columns(vectors * values.abs().sqrt()[:, None], values.sign() if bool((values < 0).any()) else None)


def probed_columns(problem: Problem, batch: Batch, f: Tensor, signs: Tensor) -> Columns:
    """Return sum_k s_k u_k of the loss for random signs s (B, D); D x D numbers a sample only where no factor is known.

    E |J'F s|^2 = |J'F|^2. K = 1, and 2 where columns have signs: see `_probed`.
    """
    if problem.loss.mixed is not None:
        return Columns(problem.scale**0.5 * problem.loss.mixed(f, batch.y, signs)[:, :, None])
    return _probed(loss_columns(problem, batch, f), signs)


def _probed(columns: Columns, signs: Tensor) -> Columns:
    """Return sum_k s_k u_k, K = 1; where columns have signs, one sum for each sign, K = 2.

    The cross terms of columns of both signs would not vanish in the square of one sum.
    """
    weighted = columns.values * signs[:, None]
    if columns.signs is None:
        return Columns(weighted.sum(2, keepdim=True))
    by_sign = [(weighted * (columns.signs == sign)[:, None]).sum(2) for sign in (1, -1)]
    return Columns(torch.stack(by_sign, 2), columns.signs.new_tensor([1, -1]).expand(len(signs), 2))
