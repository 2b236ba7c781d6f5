"""A multilayer perceptron is recognised from its modules, and nothing else is."""

import pytest
import torch
from torch import nn

from scalecurv.problem.structure import recognise_mlp
from tests.loops import each


def tied() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].bias.requires_grad_(False)
    return model


def with_another(place: int | None) -> nn.Module:
    """Return an MLP that also holds a parameter that its forward does not use, of its own or of a layer."""
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    (model if place is None else model[place]).register_parameter("spare", nn.Parameter(torch.ones(3)))
    return model


@pytest.mark.parametrize(
    ("model", "widths", "homogeneous"),
    [
        (nn.Sequential(nn.Linear(3, 2)), (3, 2), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), (3, 5, 2), True),
        (nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)), (3, 5, 2), False),
        (
            nn.Sequential(nn.Linear(3, 5), nn.LeakyReLU(), nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 1)),
            (3, 5, 4, 1),
            False,
        ),
    ],
)
def test_what_is_one(model: nn.Module, widths: tuple[int, ...], homogeneous: bool) -> None:
    found = recognise_mlp(model)
    assert found is not None
    assert (found.widths, found.homogeneous, found.num_hidden) == (widths, homogeneous, sum(widths[1:-1]))
    assert found.num_params == sum(p.numel() for p in model.parameters())


@each(
    model=[
        nn.Linear(3, 2),
        nn.Sequential(),
        nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 2), nn.Softmax(1), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(3, 2), nn.PReLU(), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (1, 2)), nn.Linear(2, 1)),
        nn.Sequential(nn.Conv1d(3, 2, 1), nn.ReLU(), nn.Linear(2, 1)),
        tied(),
        frozen(),
        with_another(None),
        with_another(0),
    ]
)
def test_what_is_none(model: nn.Module) -> None:
    assert recognise_mlp(model) is None
