"""Inputs of our own: Gaussian, heavy-tailed, and a few on each side of every fold that cross no other."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.measures.rank.functional_dimension import decisive_inputs, gaussian_inputs, heavy_tailed_inputs
from tests.loops import each

SHAPES = [(1, 2), (5, 1), (4, 3), (12, 2), (7, 6), (40, 3)]  # (h, d)


def layer(h: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(h, d, generator=rng, dtype=torch.float64) * torch.logspace(-2, 2, h)[:, None]
    return weight, torch.randn(h, generator=rng, dtype=torch.float64) * torch.logspace(2, -2, h)


@each(("h", "d"), SHAPES, biased=[True, False], seed=range(3))
def test_both_sides_of_one_fold(h: int, d: int, biased: bool, seed: int) -> None:
    """d + 1 points in each of the two regions on either side of a neuron's fold: their patterns differ in it alone."""
    if d == 1 and not biased:
        h = 1  # all folds at 0: there is but one
    weight, bias = layer(h, d, seed)
    b = bias if biased else None
    points = decisive_inputs(weight, b, seed)
    assert points.shape == (2 * (d + 1) * h, d)
    assert points.dtype == torch.float64
    on = (points @ weight.T + (bias if biased else 0)) > 0
    for j, (x, pattern) in enumerate(zip(points.view(h, 2, d + 1, d), on.view(h, 2, d + 1, h), strict=True)):
        assert (pattern == pattern[:, :1]).all()  # each side lies in one region
        assert (pattern[0, 0] != pattern[1, 0]).nonzero().flatten().tolist() == [j]
        for side in x:  # affinely independent: they tell every affine function of the region apart
            assert int(torch.linalg.matrix_rank(side[:-1] - side[-1], rtol=1e-6)) == d


def test_a_neuron_without_a_fold_is_left_out() -> None:
    weight, bias = layer(4, 3)
    weight[2] = 0
    points = decisive_inputs(weight, bias, 0)
    assert points.shape == (3 * 8, 3)
    on = (points @ weight.T + bias > 0).view(3, 2, 4, 4)
    assert [(side[0, 0] != side[1, 0]).nonzero().item() for side in on] == [0, 1, 3]
    assert decisive_inputs(torch.zeros(2, 3), None, 0).shape == (0, 3)


def test_decisive_inputs_are_reproducible() -> None:
    weight, bias = layer(4, 3)
    assert torch.equal(decisive_inputs(weight, bias, 1), decisive_inputs(weight, bias, 1))
    assert not torch.isclose(decisive_inputs(weight, bias, 1), decisive_inputs(weight, bias, 2)).any()
    single = decisive_inputs(weight.float(), bias.float(), 1)
    assert torch.equal(single, decisive_inputs(weight.float().double(), bias.float().double(), 1))
    assert not torch.equal(decisive_inputs(weight, None, 1), decisive_inputs(weight, bias, 1))


def test_heavy_tails() -> None:
    """|x| / |z| over four orders of magnitude, evenly in its logarithm; directions as those of a Gaussian."""
    x = heavy_tailed_inputs(4000, 50, 0)
    assert x.shape == (4000, 50)
    assert x.dtype == torch.float64
    exponents = torch.log10(x.norm(dim=1) / 50**0.5).sort().values
    assert -2.2 < float(exponents[0]) < -1.9
    assert 1.9 < float(exponents[-1]) < 2.2
    assert float((exponents - torch.linspace(-2, 2, 4000)).abs().max()) < 0.15
    directions = torch.nn.functional.normalize(x, dim=1)
    assert float((50 * directions.T @ directions / 4000 - torch.eye(50)).abs().max()) < 0.12


def test_gaussian_inputs() -> None:
    """Mean 0, covariance I, kurtosis 3."""
    x = gaussian_inputs(20_000, 4, 0)
    assert x.shape == (20_000, 4)
    assert x.dtype == torch.float64
    assert float(x.mean(0).abs().max()) < 0.03
    assert float((x.T @ x / 20_000 - torch.eye(4)).abs().max()) < 0.05
    assert np.allclose((x**4).mean(0), 3, atol=0.3)


@pytest.mark.parametrize("drawn", [gaussian_inputs, heavy_tailed_inputs])
def test_the_same_for_a_seed(drawn: object) -> None:
    assert torch.equal(drawn(5, 3, 1), drawn(5, 3, 1))  # type: ignore[operator]
    assert not torch.isclose(drawn(5, 3, 1), drawn(5, 3, 2)).any()  # type: ignore[operator]
    assert not torch.isclose(gaussian_inputs(5, 3, 1), heavy_tailed_inputs(5, 3, 1)).any()


def test_twin_folds_are_one() -> None:
    """A neuron and its copy, rescaled, fold in the same place but for rounding: their points stay clear of it."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    bias = torch.randn(4, generator=rng, dtype=torch.float64)
    weight[1], bias[1] = -1.7 * weight[0], -1.7 * bias[0]
    x = decisive_inputs(weight, bias, 0)
    assert float(((x @ weight.T + bias).abs() / weight.norm(dim=1)).min()) > 1e-4
