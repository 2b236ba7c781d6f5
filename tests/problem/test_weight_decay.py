"""Weight decay adds w |theta|^2 / 2 to L, w theta to g and w I to H: in products, and in the sums by structure."""

import math

import pytest
import torch

from scalecurv.errors import Misuse
from scalecurv.mlp.block_norms import split_norms
from scalecurv.mlp.euler_bounds import euler_bounds
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import exact_diagonal, layer_traces, output_probe_terms
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import CASES, COVERING, data, network, oracle, problem

W = 0.3
STRUCTURED = [case for case in CASES if case[0] in ("relu", "one output")]


def close(found: torch.Tensor, wanted: torch.Tensor, scale: float = 1e-12) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=scale * float(wanted.abs().max()))


@each(case=COVERING, batch_size=[None, 3])
def test_loss_gradient_and_products(case: tuple[str, str, str], batch_size: int | None) -> None:
    """Once, not once a batch, and not scaled by the reduction; of tied and frozen parameters those in theta."""
    at, truth = problem(*case, weight_decay=W, batch_size=batch_size), oracle(*case)
    value, gradient = loss_and_gradient(at)
    assert value == pytest.approx(truth.loss + W * float((at.theta**2).sum()) / 2, rel=1e-12)
    close(gradient, truth.gradient + W * at.theta)
    eye = torch.eye(at.num_params, dtype=torch.float64)
    close(HessianOperator(at) @ eye, truth.hessian + W * eye)
    close(GaussNewtonOperator(at) @ eye, truth.gauss_newton + W * eye)
    rest = truth.hessian - truth.gauss_newton
    torch.testing.assert_close(ResidualOperator(at) @ eye, rest, rtol=0, atol=1e-12)


@each(case=STRUCTURED)
def test_by_structure(case: tuple[str, str, str]) -> None:
    at, truth = problem(*case, weight_decay=W), oracle(*case)
    mlp = structure_of(at)
    assert mlp is not None
    H = truth.hessian + W * torch.eye(at.num_params, dtype=torch.float64)
    G = truth.gauss_newton + W * torch.eye(at.num_params, dtype=torch.float64)
    layers = list(at.space.layers.values())
    close(layer_traces(at, mlp), torch.stack([H[part, part].trace() for part in layers]))
    close(at.space.flatten(exact_diagonal(at, mlp)), H.diagonal())
    split = split_norms(at, mlp)
    wanted = torch.stack([(part**2).sum() for k in layers for l in layers for part in [H[k, l]]]).view(len(layers), -1)
    close(split.sum(0), wanted)
    close(split[0], torch.stack([(G[k, l] ** 2).sum() for k in layers for l in layers]).view(len(layers), -1))
    close(split[2], split_norms(at.undecayed(), mlp)[2])
    bounds, largest = euler_bounds(at, mlp), float(torch.linalg.eigvalsh(G)[-1])
    assert W < float(bounds.max()) <= largest * (1 + 1e-12)
    close(bounds, euler_bounds(at.undecayed(), mlp) + W)


def test_output_probes_carry_it_without_spread() -> None:
    at = problem("relu", "mse", weight_decay=W)
    mlp, bare = structure_of(at), at.undecayed()
    assert mlp is not None
    for index in range(2):
        added = output_probe_terms(at, mlp, 0, index) - output_probe_terms(bare, mlp, 0, index)
        sizes = torch.tensor([35.0, 24.0, 15.0], dtype=torch.float64) * W / at.num_data
        assert added == pytest.approx(sizes.expand(at.num_data, -1).numpy(), rel=1e-9)


def test_the_same_in_another_dtype_and_none_of_it_where_there_is_none() -> None:
    at = problem("tanh", weight_decay=W)
    assert at.astype(torch.float32).weight_decay == W
    assert at.undecayed().weight_decay == 0
    assert at.weight_decay == W
    bare = problem("tanh")
    assert bare.undecayed() is bare
    assert loss_and_gradient(at.undecayed())[0] == loss_and_gradient(bare)[0]


@each(w=[-1e-3, math.inf, math.nan])
def test_what_is_no_weight_decay(w: float) -> None:
    with pytest.raises(Misuse) as caught:
        Problem(network("relu"), data("mse"), "mse", weight_decay=w)
    assert str(caught.value) == f"weight_decay is {w}; it must be at least 0 and finite"
