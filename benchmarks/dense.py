"""The dense oracle of any model: gradient, Hessian, Gauss-Newton matrix and Jacobian written out, and what they say.

It knows no product of the library. Principal curvatures are the eigenvalues of the dense shape operator, ranks count
singular values of the dense Jacobian.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacfwd, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

import scalecurv as sc

EPS = 2.0**-52
COUNTS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}


@dataclass(frozen=True)
class Dense:
    """loss L, gradient g (P,), hessian H and gauss_newton G (P, P), jacobian J (N D, P) sample by sample."""

    loss: float
    gradient: Tensor
    hessian: Tensor
    gauss_newton: Tensor
    jacobian: Tensor


def dense(problem: sc.Problem) -> Dense:
    """Everything of a problem in float64 whose model holds float64, by automatic differentiation of all data at once.

    Not by torch.func.hessian: it differentiates a vectorized backward pass, and that of a layer norm with weights is
    wrong in torch 2.13.
    """
    shapes, theta = problem.space.shapes, problem.theta

    def outputs(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes.values()])
        given = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return functional_call(problem.model, given, (problem.x,)).flatten(1)

    def loss(theta: Tensor) -> Tensor:
        if problem.loss.name == "mse":
            return problem.scale * ((outputs(theta) - problem.y) ** 2).sum() / 2
        return problem.scale * cross_entropy(outputs(theta), problem.y, reduction="sum")

    with sdpa_kernel(SDPBackend.MATH):  # the one kernel of attention with a second derivative
        f, J = outputs(theta), jacrev(outputs)(theta)
        p = f.softmax(1)
        M = torch.eye(f.shape[1], dtype=f.dtype).expand(len(f), -1, -1)
        if problem.loss.name == "cross_entropy":
            M = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        G = torch.einsum("nip,nij,njq->pq", J, problem.scale * M, J)
        return Dense(float(loss(theta)), grad(loss)(theta), jacfwd(grad(loss))(theta), G, J.flatten(0, 1))


def dense_values(truth: Dense) -> dict[str, float]:
    """Every quantity of any model that a store holds, by name; for the brackets of K, K."""
    g, H, G = truth.gradient, truth.hessian, truth.gauss_newton
    P, beta, u = len(g), 1 / (1 + float(g @ g)), g / g.norm()
    values, vectors = torch.linalg.eigh(H)
    T, F, top = float(values.sum()), float((values**2).sum()), vectors[:, [-1, -2]]
    root = torch.eye(P, dtype=g.dtype) - (1 - beta**0.5) * torch.outer(u, u)
    kappa = torch.linalg.eigvalsh(beta**0.5 * root @ H @ root).flip(0).tolist()
    K = sum(kappa) ** 2 - sum(k * k for k in kappa)
    pairs = [kappa[0] * kappa[1], kappa[-1] * kappa[-2], kappa[0] * kappa[-1]]
    sigma = torch.linalg.svdvals(truth.jacobian)
    shares = (sigma / sigma[0]) ** 2
    return {
        "loss": truth.loss,
        "grad_norm": float(g.norm()),
        "beta": beta,
        "ghg": float(g @ H @ g),
        "gh2g": float((H @ g) @ (H @ g)),
        "lambda_max": float(values[-1]),
        "lambda_min": float(values[0]),
        "trace": T,
        "trace_h2": F,
        "scalar_curvature": K,
        "scalar_curvature_convex": K,
        "curvature_lower": K,
        "curvature_upper": K,
        "t2_minus_f": T * T - F,
        "effective_rank": T / float(values[-1]),
        "participation_ratio": T * T / F,
        "rank": int((sigma > max(truth.jacobian.shape) * EPS * sigma[0]).sum()),
        **{name: int((sigma > tau * sigma[0]).sum()) for name, tau in COUNTS.items()},
        "stable_rank": float(shares.sum()),
        "jacobian_participation_ratio": float(shares.sum() ** 2 / (shares**2).sum()),
        **{f"principal_{name}": kappa[i] for name, i in (("max", 0), ("max_2", 1), ("min_2", -2), ("min", -1))},
        "sectional_max": max(pairs),
        "sectional_min": min(pairs),
        "sectional_mean": K / (P * (P - 1)),
        "sectional_ritz": beta * float(values[-1] * values[-2] / (1 + ((g @ top) ** 2).sum())),
        "mean_curvature": sum(kappa),
        "ricci_gradient": beta**2 * float(T * (u @ H @ u) - (H @ u) @ (H @ u)),
        "trace_ggn": float(G.trace()),
        "lambda_max_ggn": float(torch.linalg.eigvalsh(G)[-1]),
        "residual_share": float((H - G).norm() / H.norm()),
    }
