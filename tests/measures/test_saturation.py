"""A softmax so sure of itself that float64 cannot tell H from its rounding: wide intervals, no certificate."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scalecurv.measures import Extremes, GaussNewton, Principal
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import SWEEPS, rounding, runner_up
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.loops import each

X = np.array([[1.0], [-1.3]])


def sure(margin: float) -> Problem:
    """Logits (m x / 2, - m x / 2) of two samples, each of the class that it belongs to."""
    model = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[margin / 2], [-margin / 2]]))
        model[0].bias.zero_()
    return Problem(model, (X, np.array([0, 1])), "cross_entropy")


def largest(margin: float) -> float:
    """Of H = sum_i q_i / N (1, -1)(1, -1)' x (x_i, 1)(x_i, 1)', q = p (1 - p) without cancellation."""
    e = np.exp(-margin * np.abs(X[:, 0]))
    q = e / (1 + e) ** 2
    rows = np.hstack([X, np.ones_like(X)])
    return float(2 * np.linalg.eigvalsh((rows.T * q) @ rows / 2)[-1])


def holds(found: Estimate, truth: float) -> bool:
    of_softmax = 4 * 2.0**-52 / truth if truth > 1e-6 else 0.0  # p (1 - p) to ulps of 1; else the interval has them
    seen = 1e-10 if found.status is Status.EXACT else 1e-12 + of_softmax  # ten digits are left where nothing saturates
    return found.lower <= truth * (1 + seen) and truth * (1 - seen) <= found.upper


@each(route=["sampled", "dense"], margin=[5.0, 12.0, 20.0, 30.0, 36.0, 40.0, 100.0])
def test_no_certificate_is_wrong(margin: float, route: str) -> None:
    truth, evaluation = largest(margin), Evaluation(sure(margin))
    found = Principal(route=route).compute(evaluation).estimates | Extremes(route=route).compute(evaluation).estimates
    surely = Status.EXACT if route == "dense" and margin < 20 else Status.CERTIFIED
    slope = 1e-9 + 2 * np.exp(-2 * margin)  # beta is 1 but for the square of the slope
    assert holds(found["lambda_max"], truth)
    assert holds(found["principal_max"].widened(slope * truth), truth)
    for name in ("lambda_max", "principal_max"):
        assert (found[name].status is surely) is (margin <= 20)
    ggn = GaussNewton(route=route).compute(evaluation).estimates["lambda_max_ggn"]
    assert holds(ggn, truth)
    assert ggn.status is (Status.EXACT if route == "dense" else Status.CERTIFIED)  # its factors do not cancel


def by_hand(f: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(f, y, reduction="none")


@each(route=["generic", "dense"], margin=[5.0, 20.0, 36.0, 40.0])
def test_a_loss_of_ones_own_may_saturate_too(margin: float, route: str) -> None:
    """Nothing is known of it: the intervals are wide at all margins, which beside an ordinary H does not show."""
    named = sure(margin)
    evaluation = Evaluation(Problem(named.model, (X, np.array([0, 1])), by_hand))
    truth, wide = largest(margin), rounding(evaluation).norm
    assert 0 < wide < 1e-12
    found = Extremes(route=route).compute(evaluation).estimates | GaussNewton(route=route).compute(evaluation).estimates
    for name in ("lambda_max", "lambda_max_ggn"):
        assert holds(found[name], truth)
        assert (found[name].status is Status.CERTIFIED) is (margin <= 20)
    e = np.exp(-margin * np.abs(X))
    assert holds(found["trace_ggn"], float((e / (1 + e) ** 2 * (X**2 + 1)).sum()))


@each(("margin", "noise"), [(5.0, False), (12.0, False), (20.0, True), (40.0, True)])
def test_only_what_is_saturated_pays(margin: float, noise: bool) -> None:
    evaluation = Evaluation(sure(margin))
    found = rounding(evaluation)
    assert (found.norm > 0) is noise
    assert found.num_matvecs == evaluation.total_matvecs == (SWEEPS if noise else 0)
    q = 1 / (1 + np.exp(margin))
    assert runner_up(sure(margin)) == pytest.approx(q, rel=1e-12)
    if noise:  # at least 4 ulps of the mean of |J_i|_F^2 = 2 (x_i^2 + 1), and no more than caution makes of them
        least = 4 * 2.0**-52 * np.mean(2 * (X**2 + 1))
        assert least <= found.norm <= 6.4 * 6 * least


@each(margin=[14.5, 16.0, 18.0])
def test_curvatures_along_directions_hold_what_rounding_takes(margin: float) -> None:
    """By p (1 - p) without cancellation: H is [[1, -1], [-1, 1]] x M, g the residuals times the inputs."""
    evaluation = Evaluation(sure(margin))
    e = np.exp(-margin * np.abs(X[:, 0]))
    rows = np.hstack([X, np.ones_like(X)])
    M = (rows.T * (e / (1 + e) ** 2)) @ rows / 2
    order = [0, 2, 1, 3]  # (weight, bias) of each output -> weights, then biases
    H = np.kron([[1, -1], [-1, 1]], M)[np.ix_(order, order)]
    pulls = rows.T @ (np.array([-1, 1]) * e / (1 + e)) / 2
    g = np.concatenate([pulls, -pulls])[order]
    beta, u = 1 / (1 + g @ g), g / np.linalg.norm(g)
    T, Hu, v = np.trace(H), H @ u, np.array([1.0, 0, 0, 0])
    along = beta**2 * (T * (u @ Hu) - Hu @ Hu)
    found = Principal().compute(evaluation).estimates
    Hv, gv = H @ v, g @ v
    at_v = beta * ((T - beta * g @ H @ g) * (v @ Hv) - Hv @ Hv + beta * (g @ Hv) ** 2) / (1 + gv**2)
    directions = torch.eye(4, dtype=torch.float64)
    held = {
        "ricci_gradient": (found["ricci_gradient"], along),
        "mean": (found["mean_curvature"], beta**0.5 * (T - beta * g @ H @ g)),
        "ricci": (ricci_curvature_at(evaluation, directions[0], Principal().strategy), at_v),
    }
    for name, (estimate, truth) in held.items():
        assert holds(estimate, truth), name
        assert estimate.status is not Status.EXACT, name
        assert estimate.confidence < 1, name
    plane = sectional_curvature_at(evaluation, directions[0], directions[2])
    assert holds(plane, beta * (H[0, 0] * H[2, 2] - H[0, 2] ** 2) / (1 + g[0] ** 2 + g[2] ** 2))
    assert plane.status is Status.CERTIFIED


@each(stretch=[1.0, 1e3])
def test_what_rounding_takes_grows_with_the_square_of_the_jacobian(stretch: float) -> None:
    """Four ulps of 1 in d^2 loss / df^2 are as many of c |J|_F^2 in H, |J|_F^2 = 2 sum (x_i^2 + 1)."""
    model = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[20 / stretch], [-20 / stretch]]))
        model[0].bias.zero_()
    x = X * stretch
    norm = rounding(Evaluation(Problem(model, (x, np.array([0, 1])), "cross_entropy"))).norm
    least = 4 * 2.0**-52 * float((x**2 + 1).sum())  # c = 1 / 2
    assert least <= norm <= 100 * least


@each(route=["generic", None], margin=[5.0, 20.0, 40.0])
def test_float32_claims_no_more_than_float64(margin: float, route: str | None) -> None:
    """What p - p^2 has lost in float64 is lost in float32 too, and no difference of their products shows it."""
    double = sure(margin)
    single = Evaluation(Problem(sure(margin).model.float(), (X, np.array([0, 1])), "cross_entropy"))
    found, bound = Extremes(route=route).compute(single).estimates["lambda_max"], rounding(Evaluation(double)).norm
    assert holds(found.widened(1e-6 * found.value), largest(margin))  # X in float32
    assert rounding(single).norm >= 0.9 * bound
    assert margin == 20 or (found.status in (Status.CERTIFIED, Status.EXACT)) is (margin < 20)
