"""|H_kl|_F of each pair of layers without a Hessian product is that of the dense Hessian's block."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from scalecurv.mlp.block_norms import block_norms, block_norms_cost, split_norms
from scalecurv.problem.problem import Problem
from tests.dense import dense
from tests.loops import each
from tests.piecewise import (
    CASES,
    MEANS,
    SHAPES,
    Case,
    blocks,
    close,
    data,
    laid_open,
    layer_slices,
    network,
    opened,
    truth,
)


def sums(matrix: Tensor, slices: list[slice]) -> Tensor:
    """The sum over each pair of layers, shape (L, L)."""
    return torch.stack([torch.stack([block.sum() for block in row]) for row in blocks(matrix, slices)])


@each(case=CASES)
def test_every_block(case: Case) -> None:
    problem, mlp = opened(case)
    exact = truth(case)
    norms = block_norms(problem, mlp)
    close(norms, sums(exact.hessian**2, layer_slices(problem, mlp)))
    close(norms.sum(), (exact.hessian**2).sum())


@each(case=MEANS)
def test_every_part_of_every_block(case: Case) -> None:
    """|G_kl|^2, 2 <G_kl, R_kl> and |R_kl|^2, each alike for (k, l) and (l, k); their sum is |H_kl|^2."""
    problem, mlp = opened(case)
    G, slices = truth(case).gauss_newton, layer_slices(problem, mlp)
    R = truth(case).hessian - G
    parts = split_norms(problem, mlp)
    size = float(parts.abs().max())
    assert parts.shape == (3, len(mlp.layers), len(mlp.layers))
    for found, squares in zip(parts, (G**2, 2 * G * R, R**2), strict=True):
        close(found, sums(squares, slices), size)
        close(found, found.T, size)
    assert torch.equal(parts.sum(0), block_norms(problem, mlp))
    assert parts[1:].diagonal(dim1=1, dim2=2).count_nonzero() == 0  # R has no block on the diagonal


@each(memory=[1, 20_000])
def test_tiles_do_not_move_the_parts(memory: int) -> None:
    case = Case("deep", "mse", trained=True)
    close(split_norms(*opened(case, memory=memory)), split_norms(*opened(case)))


@each(shape=[shape for shape in SHAPES if not shape.startswith("one layer")])
def test_residuals_of_the_opposite_sign(shape: str) -> None:
    """Targets mirrored at f turn R into -R: the two norms differ by 4 <G, R>, and their mean is |G|^2 + |R|^2."""
    case = Case(shape, "mse")
    problem, mlp = opened(case)
    f = problem.outputs(problem.theta, problem.x)
    mirrored, _ = laid_open(Problem(problem.model, (problem.x, 2 * f - problem.y), "mse"))
    here, there, slices = block_norms(problem, mlp), block_norms(mirrored, mlp), layer_slices(problem, mlp)
    G, R = truth(case).gauss_newton, truth(case).hessian - truth(case).gauss_newton
    size = float(here.max())
    close((here + there) / 2, sums(G**2 + R**2, slices), size)
    close((here - there) / 4, sums(G * R, slices), size)


def test_the_cases_tell_signs_and_parts_apart() -> None:
    """Somewhere 2 <G, R> is a large share of tr H^2 of either sign, somewhere R is most of it."""
    parts = [(t.gauss_newton, t.hessian - t.gauss_newton, (t.hessian**2).sum()) for t in map(truth, CASES)]
    crossed = [float(2 * (G * R).sum() / F) for G, R, F in parts]
    assert min(crossed) < -0.4
    assert max(crossed) > 0.2
    assert max(float((R**2).sum() / F) for _, R, F in parts) > 0.8


@each(options=[{"memory": 1}, {"memory": 20_000}, {"batch_size": 3}], shape=["one output", "some biases", "deep"])
def test_neither_tiles_nor_mini_batches_matter(shape: str, options: dict) -> None:
    """One byte of memory leaves tiles of one sample, 20,000 ragged ones; mini-batches play no part."""
    case = Case(shape, "mse", trained=True)
    problem, mlp = opened(case, **options)
    close(block_norms(problem, mlp), sums(truth(case).hessian ** 2, layer_slices(problem, mlp)))


def test_images_behind_a_flatten() -> None:
    model, (x, y) = network("two hidden", "soft"), data("two hidden", "soft")
    problem, mlp = laid_open(Problem(nn.Sequential(nn.Flatten(), *model), (x.view(-1, 2, 3), y), "cross_entropy"))
    close(block_norms(problem, mlp), sums(truth(Case("two hidden", "soft")).hessian ** 2, layer_slices(problem, mlp)))


def test_single_precision_cast_up() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    x, y = torch.randn(6, 3), torch.randn(6, 2)
    single, mlp = laid_open(Problem(model, (x, y), "mse"))
    double = single.astype(torch.float64)
    exact = dense(model.double(), x.double(), y.double(), "mse")
    expected = sums(exact.hessian**2, layer_slices(double, mlp))
    close(block_norms(double, mlp), expected)
    torch.testing.assert_close(block_norms(single, mlp), expected, rtol=1e-5, atol=0)


def test_a_network_without_curvature_of_its_own_has_only_gauss_newton() -> None:
    """At interpolation H = G: the blocks are those of G, and H has no other part to lose."""
    problem, mlp = opened(Case("deep", "mse"))
    f = problem.outputs(problem.theta, problem.x)
    point, _ = laid_open(Problem(problem.model, (problem.x, f), "mse"))
    close(block_norms(point, mlp), sums(truth(Case("deep", "mse")).gauss_newton ** 2, layer_slices(point, mlp)))


@each(shape=SHAPES)
def test_the_cost_grows_with_the_square_of_the_data(shape: str) -> None:
    case = Case(shape, "mse")
    problem, mlp = opened(case)
    model = network(shape, "mse")
    flops, size = block_norms_cost(problem, mlp)
    many_flops, many_size = block_norms_cost(Problem(model, data(shape, "mse", 70), "mse"), mlp)
    assert flops > 0
    assert many_flops == pytest.approx(100 * flops)  # every pair of samples
    assert many_size == pytest.approx(10 * size)  # pairs come in tiles: only what a sample keeps is held
    deeper = replace(mlp, widths=(*mlp.widths, 4), layers=(*mlp.layers, "more"))
    assert block_norms_cost(problem, deeper) > (flops, size)
    # at least each sample's rows of every layer for every output, in float64
    assert size >= 8 * problem.num_data * problem.num_outputs * sum(mlp.widths[1:])
