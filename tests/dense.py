"""The dense oracle of any model: gradient, Hessian, Gauss-Newton matrix and Jacobian written out in float64.

It uses no product of the library.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, hessian, jacfwd, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel

from scalecurv.problem.problem import Problem


@dataclass(frozen=True)
class Dense:
    """loss L, gradient g (P,), hessian H and gauss_newton G (P, P), jacobian J (N D, P) sample by sample."""

    loss: float
    gradient: Tensor
    hessian: Tensor
    gauss_newton: Tensor
    jacobian: Tensor

    def trace(self, part: slice = slice(None)) -> float:
        return float(self.hessian[part, part].trace())

    def trace_h2(self, part: slice = slice(None)) -> float:
        """Return the squared norm of these rows; for all rows it is tr H^2."""
        return float((self.hessian[part] ** 2).sum())

    @property
    def beta(self) -> float:
        return 1 / (1 + float(self.gradient @ self.gradient))

    @property
    def curvature(self) -> float:
        """K = tr(S)^2 - tr S^2 of the shape operator S = sqrt(b) (I - b g g') H."""
        g, b = self.gradient, self.beta
        S = b**0.5 * (self.hessian - b * torch.outer(g, g @ self.hessian))
        return float(S.trace() ** 2 - (S @ S).trace())


def dense(model: nn.Module, x: Tensor, y: Tensor, loss: str, reduction: str = "mean") -> Dense:
    """Return everything by automatic differentiation of the flat parameters, all data at once.

    H is jacfwd(grad) and not torch.func.hessian: that differentiates a vectorized backward pass, and the vectorized
    backward pass of a layer norm with weights is wrong in torch 2.13.
    """
    free = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    scale = 1 / len(x) if reduction == "mean" else 1.0

    def outputs(theta: Tensor) -> Tensor:
        parts = theta.split([p.numel() for p in free.values()])
        return functional_call(model, {n: t.view_as(p) for (n, p), t in zip(free.items(), parts, strict=True)}, (x,))

    def loss_of(f: Tensor) -> Tensor:
        f = f.reshape(len(x), -1)
        if loss == "mse":
            return scale * 0.5 * (f - y).pow(2).sum()
        of_class = y if y.is_floating_point() else torch.eye(f.shape[1], dtype=f.dtype)[y]
        return -scale * (of_class * f.log_softmax(1)).sum()

    def loss_at(theta: Tensor) -> Tensor:
        return loss_of(outputs(theta))

    theta = torch.cat([p.flatten() for p in free.values()])
    with sdpa_kernel(SDPBackend.MATH):  # the one kernel of attention with a second derivative
        gradient, value = grad_and_value(loss_at)(theta)
        J = jacrev(lambda t: outputs(t).flatten())(theta)
        M = hessian(loss_of)(outputs(theta).flatten())
        return Dense(float(value), gradient, jacfwd(grad(loss_at))(theta), J.T @ M @ J, J)


def dense_at(problem: Problem) -> Dense:
    """Return the dense truth at the weights and data as this problem's dtype holds them, in float64."""
    model = copy.deepcopy(problem.model).to(problem.dtype).double()
    x, y = (t.to(problem.dtype).double() if t.is_floating_point() else t for t in (problem.x, problem.y))
    return dense(model, x, y, problem.loss.name, problem.reduction)
