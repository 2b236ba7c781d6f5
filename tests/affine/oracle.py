"""tr G by sample and parameter tensor from written-out Jacobians of single samples, by plain autograd."""

from collections.abc import Sequence

import torch
from torch import Tensor

from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch


def dense_terms(problem: Problem, names: Sequence[str] | None = None) -> Tensor:
    """Return tr G_iW = c tr(J_iW' M_i J_iW), shape (N, tensors) in float64, M_i by differentiating the loss twice."""
    return torch.stack(
        [
            _of_sample(problem, Batch(problem.x[i : i + 1], problem.y[i : i + 1], i), names)
            for i in range(len(problem.x))
        ]
    )


def _of_sample(problem: Problem, one: Batch, names: Sequence[str] | None) -> Tensor:
    theta = problem.theta.detach().requires_grad_()
    f = problem.outputs(theta, one.x)
    zeros = torch.zeros_like(theta)
    rows = [
        torch.autograd.grad(entry, theta, retain_graph=True, allow_unused=True)[0] if f.requires_grad else None
        for entry in f[0]
    ]
    J = torch.stack([zeros if row is None else row for row in rows])
    M = torch.autograd.functional.hessian(lambda at: problem.loss.total(at[None], one.y), f[0].detach())
    slices = problem.space.slices
    parts = [J[:, slices[name]].double() for name in names or slices]
    return problem.scale * torch.stack([torch.trace(part.T @ M.double() @ part) for part in parts])


def sign_terms(problem: Problem, signs: Tensor) -> Tensor:
    """Return c |J_iW' F_i s_i|^2, shape (N, tensors), F_i the known factor of the loss, for signs (N, D)."""
    found = []
    for i, s in enumerate(signs):
        theta = problem.theta.detach().requires_grad_()
        f = problem.outputs(theta, problem.x[i : i + 1])
        column = problem.loss.factor(f.detach(), problem.y[i : i + 1])[0] @ s
        (row,) = torch.autograd.grad((f[0] * column).sum(), theta, allow_unused=True)
        found.append(torch.stack([row[part].square().sum() for part in problem.space.slices.values()]))
    return problem.scale * torch.stack(found)
