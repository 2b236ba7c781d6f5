"""Batches and blocks stay inside the memory they are given."""

import pytest
import torch
from torch import nn

from scalecurv.problem.footprint import Footprint, count_activations
from tests.loops import each
from tests.networks import network, problem


@each(memory=[1, 10_000, 100_000], name=["relu", "tanh", "conv"])
def test_memory_bounds_batch_and_block(memory: int, name: str) -> None:
    point = problem(name, memory=memory)
    foot = point.footprint
    kept, each_column = ((foot.inputs + foot.kept) * point.batch_size, foot.each * point.batch_size)
    assert point.batch_size == 1 or 8 * (kept + each_column) <= memory // 2
    column = foot.vectors * point.num_params + each_column
    assert point.columns == 1 or 8 * (kept + point.columns * column) <= memory // 2
    assert point.batch_size <= point.num_data
    assert point.columns <= 64


def test_ample_memory_takes_everything_at_once() -> None:
    for name in ("relu", "conv"):
        assert (problem(name).batch_size, problem(name).columns) == (7, 64)
    assert problem("relu", batch_size=100).batch_size == 7


def test_half_of_the_memory_and_no_more() -> None:
    foot = Footprint.by_graph(activations=10, num_params=100, itemsize=8)
    assert foot.batch_size(2 * 6 * 8 * 10 * 5, 99) == 5
    assert foot.batch_size(2 * 6 * 8 * 10 * 5 - 1, 99) == 4
    assert foot.columns(2 * 3 * 8 * (400 + 6 * 10 * 5), 5) == 3
    assert foot.columns(2 * 3 * 8 * (400 + 6 * 10 * 5) - 1, 5) == 2


def test_an_mlp_in_closed_form_by_what_its_passes_and_products_hold() -> None:
    """Widths 6, 5, 4, 3: 9 hidden neurons, of which two layers of the backward pass are 9 or 7."""
    relu, tanh = (problem(name).footprint for name in ("relu", "tanh"))
    assert (relu.inputs, relu.kept, relu.each) == (6, 3 * 9 + 2 * 3, 9 + 9 + 6 * 3)
    assert (tanh.kept, tanh.each) == (5 * 9 + 2 * 3, 2 * 9 + 9 + 6 * 3)
    assert relu.columns(10**9, 4096 // 5) == 5  # no wider than what no longer runs faster
    assert relu.columns(10**9, 10**5) == 1
    restricted = problem("relu", params="weight")
    assert restricted.footprint == Footprint.by_graph(relu.activations, 62, 8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("relu", 6 + 5 + 5 + 4 + 4 + 3), ("conv", 6 + 6 + 6 + 6 + 6 + 3), ("tied", 6 + 6 + 6 + 6 + 3)],
)
def test_activations_are_the_inputs_and_what_every_leaf_puts_out(name: str, expected: int) -> None:
    model = network(name)
    x = torch.ones(2, 6, dtype=torch.float64)
    assert count_activations(model, model, x) == expected
    assert all(not module._forward_hooks for module in model.modules())  # it leaves nothing behind
    with pytest.raises(RuntimeError):
        count_activations(model, model, x[:, :2])
    assert all(not module._forward_hooks for module in model.modules())


def test_a_model_without_leaves_counts_its_inputs() -> None:
    assert count_activations(nn.Sequential(), lambda x: x, torch.ones(3, 4)) == 4
