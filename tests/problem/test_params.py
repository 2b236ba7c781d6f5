"""Flat coordinates: one layout, there and back."""

import torch
from torch import nn

from scalecurv.problem.params import ParameterSpace
from tests.networks import network


def test_there_and_back() -> None:
    space = ParameterSpace.of(network("conv"))
    theta = torch.arange(float(space.size))
    named = space.unflatten(theta)
    assert torch.equal(space.flatten(named), theta)
    assert {name: part.shape for name, part in named.items()} == dict(space.shapes)
    assert torch.equal(space.flatten(dict(reversed(named.items()))), theta)  # the layout is the space's own


def test_a_parameter_without_axes_keeps_its_shape() -> None:
    space = ParameterSpace({"scale": torch.Size(()), "bias": torch.Size((2,))})
    assert {name: part.shape for name, part in space.unflatten(torch.ones(3)).items()} == dict(space.shapes)
    block = space.unflatten(torch.ones(3, 4))
    assert {name: tuple(part.shape) for name, part in block.items()} == {"scale": (4,), "bias": (2, 4)}


def test_the_layout_is_the_models_order() -> None:
    model = network("relu")
    space = ParameterSpace.of(model)
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert torch.equal(space.flatten(dict(model.named_parameters())), theta)
    for name, where in space.slices.items():
        assert torch.equal(theta[where], model.get_parameter(name).detach().flatten())


def test_what_counts_as_a_coordinate() -> None:
    tied, partly = ParameterSpace.of(network("tied")), ParameterSpace.of(network("partly"))
    assert tied.size == 36 + 6 + 6 + 21  # the shared matrix once
    assert "second.weight" not in tied.shapes
    assert partly.size == 3 + 74 - 5  # the unused in, the frozen and the buffer out
    assert "body.0.bias" not in partly.shapes
    assert ParameterSpace.of(nn.ReLU()).size == 0
