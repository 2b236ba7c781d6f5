"""Identities of piecewise-linear networks that hold at any weights and for any loss, by products alone.

H = G + R, G = J'M J the Gauss-Newton matrix, l a layer, v = (w_in, b_in, -w_out) the rescaling of a hidden neuron.
The identities, and the tests of each:
diag H = diag G, and not so for tanh ................................. here, test_exact_trace
H_ll = G_ll, and R = 0 against the biases of later layers ............ test_layer_identities
tr H_ll = c sum_i |F_i' B_l|^2 (|a|^2 + 1) ........................... test_exact_trace, test_layer_identities
J J' and g from the layers, entries of R, |R|^2 and <G, R> ........... test_layer_identities, test_block_norms
J v = 0, H v = -S g .................................................. here, test_rescaling
J E theta = c f, H E theta = c J'M f + (c - E) g (Euler) ............. here, test_euler
|in|^2 - |out|^2 after one step of gradient descent .................. test_rescaling
lambda_max(G) >= c^2 sum f'Mf / |E theta|^2 .......................... test_euler
E |B'F s|^2 = |B'F|_F^2 for random signs s ........................... test_output_probes
min tr H over rescalings = sum_j 2 sqrt(t_in t_out) + t_b ............ test_rescaling
geometric complexity between multiples of the trace of a block ....... test_geometric_complexity
K as that of the shape operator ...................................... here
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from scalecurv.geometry.scalar import beta_of, scalar_curvature_of
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, mlp, problem

WIDTHS = (6, 5, 4, 3)
LAYERS = range(1, len(WIDTHS))
NEURONS = [(l, j) for l in LAYERS[:-1] for j in range(WIDTHS[l])]
LOSSES = ("mse", "cross_entropy")


@cache
def relu(loss: str) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(10)  # every neuron is alive on some sample
        model = mlp(nn.ReLU, WIDTHS).double()
    return Problem(model, data(loss, num_data=12), loss, batch_size=5)


def parts(point: Problem) -> dict[str, Tensor]:
    """theta by layer: W1, b1, W2, ..."""
    names = [f"{kind}{l}" for l in LAYERS for kind in "Wb"]
    return dict(zip(names, point.space.unflatten(point.theta).values(), strict=True))


def vector(point: Problem, **given: Tensor) -> Tensor:
    """A flat vector from parts by layer, zero where nothing is given."""
    return torch.cat([given.get(name, torch.zeros_like(part)).flatten() for name, part in parts(point).items()])


def neuron(point: Problem, l: int, j: int, incoming: float, outgoing: float) -> Tensor:
    """incoming (w_in, b_in) and outgoing w_out of hidden neuron j of layer l, zero elsewhere."""
    theta = parts(point)
    given = {name: torch.zeros_like(theta[name]) for name in (f"W{l}", f"b{l}", f"W{l + 1}")}
    given[f"W{l}"][j] = incoming * theta[f"W{l}"][j]
    given[f"b{l}"][j] = incoming * theta[f"b{l}"][j]
    given[f"W{l + 1}"][:, j] = outgoing * theta[f"W{l + 1}"][:, j]
    return vector(point, **given)


@each(loss=LOSSES, at=NEURONS)
def test_rescaling_a_neuron(loss: str, at: tuple[int, int]) -> None:
    """v = (w_in, b_in, -w_out): J v = 0, g'v = 0 and H v = -S g with S = +1 on in, -1 on out."""
    point, (l, j) = relu(loss), at
    v, S = neuron(point, l, j, 1, -1), torch.sign(neuron(point, l, j, 1, 1)) * torch.sign(neuron(point, l, j, 1, -1))
    _, g = loss_and_gradient(point)
    scale = float(HessianOperator(point).matvec(point.theta).norm())
    assert JacobianOperator(point).matvec(v).abs().max() < 1e-12 * scale
    assert abs(float(g @ v)) < 1e-12
    Hv = HessianOperator(point).matvec(v)
    torch.testing.assert_close(Hv, -S * g, rtol=0, atol=1e-12)
    assert Hv.norm() > 1e-2  # null vectors of J, not of H


@each(loss=LOSSES)
def test_euler_for_the_whole_network(loss: str) -> None:
    """w = (W_l, l b_l): J w = L f and H w = G w + (L - E) g, E = 1 on W_l and l on b_l."""
    point, L, theta = relu(loss), len(LAYERS), parts(relu(loss))
    E = vector(
        point, **{f"{k}{l}": torch.full_like(theta[f"{k}{l}"], l if k == "b" else 1) for l in LAYERS for k in "Wb"}
    )
    w, g = E * point.theta, loss_and_gradient(point)[1]
    f = point.outputs(point.theta, point.x).flatten()
    torch.testing.assert_close(JacobianOperator(point).matvec(w), L * f, rtol=0, atol=1e-12)
    expected = GaussNewtonOperator(point).matvec(w) + (L - E) * g
    torch.testing.assert_close(HessianOperator(point).matvec(w), expected, rtol=0, atol=1e-12)


@each(loss=LOSSES, layer=LAYERS)
def test_euler_for_a_layer(layer: int, loss: str) -> None:
    """E = 1 on W_l and on b_m for m >= l: J E theta = f and H E theta = G E theta + (1 - E) g."""
    point, theta = relu(loss), parts(relu(loss))
    ones = {f"b{m}": torch.ones_like(theta[f"b{m}"]) for m in LAYERS if m >= layer}
    E = vector(point, **ones, **{f"W{layer}": torch.ones_like(theta[f"W{layer}"])})
    w, g = E * point.theta, loss_and_gradient(point)[1]
    f = point.outputs(point.theta, point.x).flatten()
    torch.testing.assert_close(JacobianOperator(point).matvec(w), f, rtol=0, atol=1e-12)
    expected = GaussNewtonOperator(point).matvec(w) + (1 - E) * g
    torch.testing.assert_close(HessianOperator(point).matvec(w), expected, rtol=0, atol=1e-12)


@each(name=["relu", "conv", "batch norm", "tanh"], loss=LOSSES)
def test_hessian_and_gauss_newton_share_their_diagonal(name: str, loss: str) -> None:
    """A network linear in each parameter: tr H = tr G for any loss. tanh is the control."""
    point, holds = problem(name, loss), name != "tanh"
    eye = torch.eye(point.num_params)
    gap = torch.diag(HessianOperator(point).matmat(eye) - GaussNewtonOperator(point).matmat(eye))
    assert (gap.abs().max() < 1e-12) == holds
    assert (abs(float(gap.sum())) < 1e-12) == holds
    if not holds:
        assert abs(float(gap.sum())) > 1e-2


@each(name=["relu", "tied", "conv"], loss=LOSSES)
def test_scalar_curvature_is_that_of_the_shape_operator(name: str, loss: str) -> None:
    """S = sqrt(b) (I - b g g') H, K = tr(S)^2 - tr(S^2)."""
    point = problem(name, loss)
    H, (_, g) = HessianOperator(point), loss_and_gradient(point)
    dense, b = H.matmat(torch.eye(point.num_params)), beta_of(float(g.norm()))
    S = b**0.5 * (dense - b * torch.outer(g, dense @ g))
    T, F, Hg = float(dense.trace()), float((dense**2).sum()), H.matvec(g)
    K = scalar_curvature_of(T, T * T, F, b, float(g @ Hg), float(Hg @ Hg))
    assert pytest.approx(float(S.trace() ** 2 - (S @ S).trace()), rel=1e-12) == K
