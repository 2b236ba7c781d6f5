"""Claim: every geometric quantity agrees with the dense oracle, inside its interval, for at most 1,000 products.

Digits MLPs small enough to be dense, at init, early and trained, under both losses, in float64. The oracle forms H by
automatic differentiation of the flat loss, the metric G = I + g g' and the shape operator by eigendecomposition, and
reads everything off: principal curvatures, their products, K, Ricci curvature, the Gauss-Newton matrix by J'MJ. `error`
is |value - truth| over |truth|, or over the quantity's scale where that is larger (|A| for curvatures, |A|^2 for their
products, K's own for the mean over planes): the largest over all points. `products` is the largest too, shared ones
included. What is certified or exact must hold the truth everywhere; intervals at 95 % may miss now and then.

    python -m benchmarks.geometry
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacrev

from benchmarks.points import Point, points
from scalecurv.measures import Curvature, GaussNewton, Moments, Principal, Rescaling
from scalecurv.measures.evaluation import Evaluation
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status

RESULTS = Path(__file__).parent / "results"
NETS = ((64, 8, 10), (64, 8, 6, 10), (64, 16, 10))
NUM_DATA = 300
MOST = 1000  # products
ROUNDING = {"sectional_ritz": 1e-6}  # the plane of Ritz vectors, which are eigenvectors up to their residuals
PROVEN = (Status.EXACT, Status.CERTIFIED)


def derivatives(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """g, H and G = J'MJ by automatic differentiation of the whole loss, nothing of the library in between."""
    names = list(problem.space.shapes)

    def outputs(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in problem.space.shapes.values()])
        given = {n: t.view(s) for n, t, s in zip(names, parts, problem.space.shapes.values(), strict=True)}
        return functional_call(problem.model, given, (problem.x,))

    def loss_of(f: Tensor) -> Tensor:
        if problem.loss.name == "mse":
            return ((f - problem.y) ** 2).sum() / 2 / len(f)
        return torch.nn.functional.cross_entropy(f, problem.y)

    theta, f = problem.theta, outputs(problem.theta)
    J = jacrev(outputs)(theta)
    M = torch.eye(f.shape[1], dtype=torch.float64).expand(len(f), -1, -1)
    if problem.loss.name == "cross_entropy":
        p = f.softmax(1)
        M = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    G = torch.einsum("idp,ide,ieq->pq", J, M / len(f), J)
    return grad(lambda t: loss_of(outputs(t)))(theta), hessian(lambda t: loss_of(outputs(t)))(theta), G


def truth(problem: Problem) -> tuple[dict[str, float], dict[str, float]]:
    """Every quantity, and the scale that its error is measured in."""
    g, H, G = derivatives(problem)
    P, beta, T = len(g), 1 / (1 + float(g @ g)), float(H.trace())
    values, vectors = torch.linalg.eigh(torch.eye(P, dtype=torch.float64) + torch.outer(g, g))
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    A = beta**0.5 * root @ H @ root
    kappa = torch.linalg.eigvalsh(A).flip(0).tolist()
    K = float(A.trace() ** 2 - (A * A).sum())
    u = g / g.norm()
    products = [kappa[i] * kappa[j] for i, j in ((0, 1), (-1, -2), (0, -1))]
    top = torch.linalg.eigh(H)[1][:, [-1, -2]]
    plane = torch.linalg.eigvalsh(H)[[-1, -2]]
    steep = (g @ top) ** 2
    found = {
        "principal_max": kappa[0],
        "principal_max_2": kappa[1],
        "principal_min_2": kappa[-2],
        "principal_min": kappa[-1],
        "sectional_max": max(products),
        "sectional_min": min(products),
        "sectional_mean": K / (P * (P - 1)),
        "sectional_ritz": float(beta * plane[0] * plane[1] / (1 + steep.sum())),
        "mean_curvature": float(A.trace()),
        "ricci_gradient": beta**2 * float(T * (u @ H @ u) - (H @ u) @ (H @ u)),
        "scalar_curvature": K,
        "scalar_curvature_convex": K,
        "trace": T,
        "trace_ggn": float(G.trace()),
        "lambda_max_ggn": float(torch.linalg.eigvalsh(G)[-1]),
        "residual_share": float((H - G).norm() / H.norm()),
    }
    size = max(map(abs, kappa))
    scales = {name: size if "principal" in name else abs(value) for name, value in found.items()}
    scales |= {"sectional_max": size**2, "sectional_min": size**2, "residual_share": 1.0}
    scales |= {"ricci_gradient": beta**2 * abs(T) * float((H @ u).norm())}
    return found, scales


def compared(point: Point) -> list[dict[str, object]]:
    """A row for each quantity of one point."""
    expected, scales = truth(point.problem)
    evaluation, found, strategy, mlp = Evaluation(point.problem), {}, Moments().strategy, structure_of(point.problem)
    cheap = mlp is not None and strategy.square_is_exact(point.problem, mlp)
    route = "exact" if cheap else "sampled"  # by default so few parameters would be written out
    for measure in (Moments, Curvature, Principal, GaussNewton):
        found |= measure(route=route).compute(evaluation).estimates
    found |= Rescaling().compute(evaluation).estimates
    assert found["trace_rescaled"].value <= found["trace"].value
    rows = []
    for name, value in expected.items():
        e: Estimate = found[name]
        slack = ROUNDING.get(name, 1e-9) * scales[name]
        rows.append(
            {
                "net": point.net,
                "loss": point.loss,
                "when": point.when,
                "quantity": name,
                "truth": value,
                "value": e.value,
                "error": abs(e.value - value) / max(scales[name], 1e-300),
                "halfwidth": e.halfwidth / max(scales[name], 1e-300),
                "products": e.num_matvecs,
                "status": str(e.status),
                "outside": not e.lower - slack <= value <= e.upper + slack,
                "proven": e.status in PROVEN,
            }
        )
    return rows


def main() -> None:
    torch.set_num_threads(2)
    RESULTS.mkdir(exist_ok=True)
    rows = []
    for widths in NETS:
        for point in points(widths, NUM_DATA):
            rows += compared(point)
            print(point.net, point.loss, point.when, flush=True)
    frame = pd.DataFrame(rows)
    table = frame.groupby("quantity", sort=False).agg(
        error=("error", "max"),
        halfwidth=("halfwidth", "max"),
        products=("products", "max"),
        outside=("outside", "sum"),
        points=("outside", "size"),
        status=("status", lambda s: ", ".join(f"{n} {name}" for name, n in s.value_counts().items())),
    )
    sampled = frame[~frame["proven"]]
    columns = ["scalar_curvature", "principal_max", "principal_min", "sectional_max", "sectional_min"]
    spread = frame.pivot_table(
        index=["net", "loss", "when"],
        columns="quantity",
        values="truth",
        sort=False,
    )[[*columns, "mean_curvature", "trace"]]
    wrong = frame[frame["outside"] & frame["proven"]]
    inconsistent = int((frame["status"] == Status.INCONSISTENT).sum())
    text = "\n".join(
        [
            f"Geometry against dense oracles: digits, N = {NUM_DATA}, {len(spread)} points, float64, rtol 0.01",
            table.to_string(float_format=lambda value: f"{value:.2g}"),
            f"proven intervals that miss: {len(wrong)} (claim: 0); at 95 %: {int(sampled['outside'].sum())} of "
            f"{len(sampled)}; inconsistent: {inconsistent} (claim: 0); most products {frame['products'].max()} "
            f"(claim: {MOST})",
            "",
            "the oracle's values",
            spread.to_string(float_format=lambda value: f"{value:.4g}"),
        ]
    )
    print(text)
    (RESULTS / "geometry.txt").write_text(text + "\n")
    if len(wrong) or inconsistent or frame["products"].max() > MOST:
        print(wrong.to_string())
        sys.exit("the claim does not hold")


if __name__ == "__main__":
    main()
