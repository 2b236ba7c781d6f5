"""Every quantity that applies to any model, from dense matrices, and the rows of a store beside them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import scalecurv as sc
from scalecurv.user_code import resolve
from tests.dense import Dense

EPS = 2.0**-52
COUNTS = {"rank_1e2": 1e-2, "rank_1e3": 1e-3, "rank_1e6": 1e-6}
MEASURES = "gradient,extremes,moments,curvature,rank,spectrum,principal,gauss_newton"
ROUNDING = 1e-10
PROVEN = ("exact", "certified", "lower_bound")


def dense_values(truth: Dense) -> dict[str, float]:
    """Return every quantity of any model that a store holds, by name; for the brackets of K, K.

    Principal curvatures are the eigenvalues of the dense shape operator, ranks count singular values of the dense
    Jacobian.
    """
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


def compared(rows: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """Return the rows of a store beside the dense values, marked `inside` and `wrong`.

    A row is inside if its interval (for a bracket, its side) holds the dense value.
    """
    table = rows[rows["quantity"].isin(list(values)) & (rows["component"] == "")].copy()
    table["dense"] = table["quantity"].astype(str).map(values).astype(float)
    slack = ROUNDING * table["dense"].abs()
    above = (table["lower"] - slack <= table["dense"]) | (table["quantity"] == "curvature_upper")
    below = (table["dense"] <= table["upper"] + slack) | (table["quantity"] == "curvature_lower")
    table["inside"] = above & below
    far = (table["value"] - table["dense"]).abs() > table["upper"] - table["lower"]
    table["wrong"] = ~table["inside"] & (table["status"].isin(PROVEN) | far & (table["quantity"] != "sectional_mean"))
    return table


def point(run: Path, model: str, step: int) -> sc.Problem:
    """Return the example at one checkpoint in float64, filled by torch alone."""
    network = resolve("--model", f"models:{model}", "factory")()
    network.load_state_dict(torch.load(run / f"step_{step}.pt", weights_only=True)["model"])
    data = np.load(run / "data.npz")
    return sc.Problem(network.double().eval(), (data["x"].astype(np.float64), data["y"]))
