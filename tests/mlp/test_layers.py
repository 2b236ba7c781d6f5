"""Layerwise formulas are offered only for models that do nothing but what their list of modules says."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations

from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from tests.loops import each

FLAT, DEEP = (5, 3), (5, 2, 3)


class Doubled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Halved(nn.Flatten):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class Shifted(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Called(nn.Sequential):
    """Its forward is the ordinary one, its call is not."""

    def __call__(self, x: Tensor) -> Tensor:
        return 2 * super().__call__(x)


class Posing(nn.Module):
    """Says that it is one of torch's own activations."""

    __module__ = "torch.nn.modules.activation"

    def forward(self, x: Tensor) -> Tensor:
        return x**2


class Plain(nn.Sequential):
    pass


def found(model: nn.Module, shape: tuple[int, ...] = FLAT) -> tuple[int, ...] | None:
    """Widths of the structure found, for inputs of this shape."""
    x = torch.ones(shape)
    mlp = structure_of(Problem(model, (x, torch.zeros_like(model(x).flatten(1))), "mse"))
    return None if mlp is None else mlp.widths


def around(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Linear(4, 2))


def hooked(kind: str, where: str) -> nn.Module:
    model = around(nn.ReLU())
    module = model.get_submodule(where)
    if kind == "before":
        module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    else:
        module.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def tied(middle: bool) -> nn.Module:
    first, last = nn.Linear(3, 3), nn.Linear(3, 3)
    last.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), *([nn.Linear(3, 3), nn.ReLU()] if middle else []), last)


def one_bias_for_two() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].bias = model[0].bias
    return model


def replaced(where: str) -> nn.Module:
    """A forward of its own on one module, or on the whole, of an otherwise ordinary model."""
    model = around(nn.ReLU())
    module = model.get_submodule(where)
    ordinary = module.forward
    module.forward = lambda x: 2 * ordinary(x)
    return model


def repeated() -> nn.Module:
    layer, other = nn.Linear(3, 3), nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), other, nn.ReLU(), layer)


def activation_again_at_the_output() -> nn.Module:
    phi = nn.ReLU()
    return nn.Sequential(nn.Linear(3, 4), phi, nn.Linear(4, 2), phi)


def frozen(name: str) -> nn.Module:
    model = around(nn.ReLU())
    model.get_parameter(name).requires_grad_(False)
    return model


def normed() -> nn.Module:
    model = around(nn.ReLU())
    parametrizations.weight_norm(model[0])
    return model


@pytest.mark.parametrize(
    ("model", "shape", "widths"),
    [
        (around(nn.ReLU()), FLAT, (3, 4, 2)),
        (around(nn.Hardtanh()), FLAT, (3, 4, 2)),
        (Plain(*around(nn.LeakyReLU())), FLAT, (3, 4, 2)),
        (nn.Sequential(nn.Linear(3, 2)), FLAT, (3, 2)),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), DEEP, (6, 2)),
        (nn.Sequential(nn.Flatten(1, 2), nn.Linear(6, 2)), DEEP, (6, 2)),
        (nn.Sequential(nn.Flatten(), *around(nn.ReLU())), FLAT, (3, 4, 2)),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2, bias=False)).eval(), FLAT, (3, 4, 2)),
    ],
    ids=lambda value: str(value).replace("\n", ""),
)
def test_what_is_laid_open(model: nn.Module, shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    assert found(model, shape) == widths


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        pytest.param(around(nn.Tanh()), FLAT, id="tanh"),
        pytest.param(around(nn.GELU()), FLAT, id="gelu"),
        pytest.param(around(nn.ReLU(), nn.Linear(4, 4), nn.Tanh()), FLAT, id="one tanh of two"),
        pytest.param(around(nn.PReLU()), FLAT, id="an activation with a parameter"),
        pytest.param(Doubled(*around(nn.ReLU())), FLAT, id="a forward of its own"),
        pytest.param(Called(*around(nn.ReLU())), FLAT, id="a call of its own"),
        pytest.param(around(Posing()), FLAT, id="an activation that poses as torch's"),
        pytest.param(around(nn.ReLU(), nn.Linear(4, 4), Posing()), FLAT, id="one that poses of two"),
        pytest.param(hooked("after", ""), FLAT, id="a hook on the whole"),
        pytest.param(hooked("after", "0"), FLAT, id="a hook after a layer"),
        pytest.param(hooked("before", "2"), FLAT, id="a hook before a layer"),
        pytest.param(hooked("after", "1"), FLAT, id="a hook after an activation"),
        pytest.param(tied(False), FLAT, id="tied neighbours"),
        pytest.param(tied(True), FLAT, id="tied ends"),
        pytest.param(repeated(), FLAT, id="a layer run twice"),
        pytest.param(activation_again_at_the_output(), FLAT, id="an activation listed once that runs twice"),
        pytest.param(one_bias_for_two(), FLAT, id="tied biases"),
        pytest.param(nn.Sequential(Halved(), *around(nn.ReLU())), FLAT, id="a flatten of one's own"),
        pytest.param(nn.Sequential(*around(nn.ReLU()), Shifted()).eval(), FLAT, id="a dropout of one's own"),
        pytest.param(replaced(""), FLAT, id="another forward on the whole"),
        pytest.param(replaced("1"), FLAT, id="another forward on an activation"),
        pytest.param(frozen("0.weight"), FLAT, id="frozen weights"),
        pytest.param(frozen("2.bias"), FLAT, id="a frozen bias"),
        pytest.param(normed(), FLAT, id="normed weights"),
        pytest.param(around(nn.ReLU()), DEEP, id="two axes and no flatten"),
        pytest.param(nn.Sequential(*around(nn.ReLU()), nn.Flatten()), DEEP, id="flattened too late"),
        pytest.param(nn.Sequential(nn.Flatten(2), *around(nn.ReLU())), DEEP, id="flattened from a later axis"),
        pytest.param(nn.Sequential(nn.Flatten(1, 1), *around(nn.ReLU())), DEEP, id="flattened too few axes"),
    ],
)
def test_what_is_refused(model: nn.Module, shape: tuple[int, ...]) -> None:
    assert found(model, shape) is None


@each(kind=[nn.Sequential, nn.Linear, nn.Module])
def test_a_hook_on_every_module_is_seen(kind: type[nn.Module]) -> None:
    """It is on none of them: only what the model puts out tells of it."""
    model = around(nn.ReLU())
    hook = register_module_forward_hook(lambda module, inputs, f: 2 * f if isinstance(module, kind) else None)
    try:
        assert found(model) is None
    finally:
        hook.remove()
    assert found(model) == (3, 4, 2)
