"""The shape operator of the graph of the loss: its eigenvalues are the principal curvatures."""

import math

import torch
from torch import Tensor

from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.operator import LinearOperator


class ShapeOperator(LinearOperator):
    """A = sqrt(beta) G^(-1/2) H G^(-1/2), P x P and symmetric, G = I + g g', beta = 1/(1 + |g|^2); one H v a product.

    It is similar to the shape operator S = sqrt(beta) G^(-1) H of {(theta, L(theta))} in R^(P+1), whose eigenvalues are
    the principal curvatures, in the loss over parameters squared. G^(-1/2) = I - (1 - sqrt(beta)) u u', u = g/|g|,
    takes orthonormal vectors to vectors that are orthonormal in the metric G of the graph; at g = 0 it is the identity
    and A = H. `hessian` is any symmetric operator, `gradient` g (P,). (do Carmo 1976, Differential Geometry, ch. 3)
    """

    symmetric = True

    def __init__(self, hessian: LinearOperator, gradient: Tensor):
        self.hessian = hessian
        self.shape, self.dtype, self.device = hessian.shape, hessian.dtype, hessian.device
        norm = float(norms(gradient[:, None])[0])
        self.root = 1 / math.hypot(1.0, norm)  # sqrt(beta)
        unit = gradient.double() / norm if norm else torch.zeros_like(gradient)
        self.direction = unit[:, None].to(self.device, self.dtype)

    def tangent(self, V: Tensor) -> Tensor:
        """Return G^(-1/2) V for V (P, k): orthonormal columns become orthonormal in the metric of the graph."""
        across, along = project_out(V.to(self.device, self.dtype), self.direction)
        return across + self.root * (self.direction @ along.to(self.dtype))

    def _matmat(self, V: Tensor) -> Tensor:
        return self.root * self.tangent(self.hessian.matmat(self.tangent(V)))
