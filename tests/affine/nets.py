"""Small networks of every usual architecture, and the tensors in which the outputs of each are affine."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from scalecurv.problem.problem import Problem
from tests.affine import attending, convolving, joining

NUM_DATA = 6
ALL, NONE = ("*",), ()
Maker = tuple[Callable[[], nn.Module], Callable[[], Tensor], tuple[str, ...]]


@dataclass(frozen=True)
class Net:
    """A network in float64, inputs x (NUM_DATA, ...), the shape of its outputs for one sample, the affine tensors."""

    model: nn.Module
    x: Tensor
    shape: tuple[int, ...]
    affine: frozenset[str]

    def targets(self, loss: str) -> Tensor:
        """Return normal targets for mse, else classes, the last axis of the outputs being that of classes."""
        rng = torch.Generator().manual_seed(5)
        if loss == "mse":
            return torch.randn(NUM_DATA, *self.shape, generator=rng, dtype=torch.float64)
        return torch.randint(self.shape[-1], (NUM_DATA, *self.shape[:-1]), generator=rng)

    def problem(self, loss: str = "mse", **options: Any) -> Problem:
        """Return the Problem of this network, with targets for mse or cross_entropy."""
        return Problem(self.model, (self.x, self.targets(loss)), loss, **options)


def numbers(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(NUM_DATA, *shape, dtype=torch.float64)


def words(length: int, vocabulary: int = 4) -> Callable[[], Tensor]:
    return lambda: torch.randint(vocabulary, (NUM_DATA, length))


def mlp(activation: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 3))


def frozen() -> nn.Module:
    model = mlp(nn.ReLU)()
    model[2].requires_grad_(False)
    return model


def normed() -> nn.Module:
    first, second = (nn.Sequential(nn.Linear(4, 4), norm, nn.LeakyReLU()) for norm in (nn.LayerNorm(4), nn.RMSNorm(4)))
    return nn.Sequential(*first, *second, nn.Linear(4, 3))


def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 5)), nn.ReLU(), nn.Linear(5, 3))


# the maker of the model, that of its inputs, patterns of the names of the affine tensors
MAKERS: dict[str, Maker] = {
    "mlp relu": (mlp(nn.ReLU), numbers(4), ALL),
    "mlp tanh": (mlp(nn.Tanh), numbers(4), ("4.*",)),
    "mlp gelu": (mlp(nn.GELU), numbers(4), ("4.*",)),
    "mlp hardswish": (mlp(nn.Hardswish), numbers(4), ("4.*",)),
    "mlp leaky": (mlp(nn.LeakyReLU), numbers(4), ALL),
    "mlp in place": (mlp(lambda: nn.ReLU(inplace=True)), numbers(4), ALL),
    "mlp clipped": (mlp(nn.ReLU6), numbers(4), ALL),
    "mlp hardtanh in place": (mlp(lambda: nn.Hardtanh(-0.5, 0.7, inplace=True)), numbers(4), ALL),
    "mlp layer norm": (normed, numbers(4), ("4.*", "6.*")),
    "prelu": (mlp(nn.PReLU), numbers(4), ALL),
    "frozen": (frozen, numbers(4), ALL),
    "weight norm": (weight_norm, numbers(4), ("0.bias", "0.*original0", "2.*")),
    "softmax outputs": (lambda: nn.Sequential(mlp(nn.ReLU)(), nn.Softmax(1)), numbers(4), NONE),
    "cnn": (convolving.cnn, numbers(1, 6, 6), ALL),
    "grouped conv": (convolving.grouped, numbers(2, 7, 7), ALL),
    "conv 1d": (convolving.one_axis, numbers(2, 6), ALL),
    "transposed conv": (convolving.transposed, numbers(2, 3, 3), ALL),
    "resnet batch norm": (lambda: convolving.ResNet(convolving.batch_norm), numbers(1, 5, 5), ALL),
    "resnet group norm": (
        lambda: convolving.ResNet(convolving.group_norm),
        numbers(1, 5, 5),
        ("blocks.1.norm2.*", "blocks.1.shortcut.*", "head.*"),
    ),
    "densenet": (convolving.DenseNet, numbers(1, 5, 5), ALL),
    "vit": (lambda: attending.ViT("relu", True), numbers(3, 4), ("norm.*", "head.*")),
    "vit without last norm": (
        lambda: attending.ViT("relu", False),
        numbers(3, 4),
        ("blocks.1.norm2.*", "blocks.1.fc1.*", "blocks.1.fc2.*", "head.*"),
    ),
    "vit gelu": (lambda: attending.ViT("gelu", False), numbers(3, 4), ("blocks.1.fc2.*", "head.*")),
    "attention": (
        attending.Plain,
        numbers(3, 4),
        ("attend.v.*", "attend.o.*", "f1.*", "f2.*", "head.*"),
    ),
    "attention to one token": (attending.Plain, numbers(1, 4), ("attend.v.*", "attend.o.*", "f1.*", "f2.*", "head.*")),
    "packed attention": (attending.Packed, numbers(3, 4), ("attend.out_proj.*", "head.*")),
    "mixer": (lambda: attending.Mixer(False), numbers(3, 4), ALL),
    "mixer with norm": (lambda: attending.Mixer(True), numbers(3, 4), ("norm.*", "head.*")),
    "tokens": (lambda: attending.Tokens(False), words(3), ALL),
    "tied tokens": (lambda: attending.Tokens(True), words(3), ("position", "hidden.*", "head.bias")),
    "bag of words": (attending.Bag, words(3), ALL),
    "rnn": (lambda: joining.Recurrent("relu"), numbers(3, 2), ("rnn.weight_ih*", "rnn.bias*", "head.*")),
    "lstm": (lambda: joining.Recurrent("lstm"), numbers(3, 2), ("head.*",)),
    "gate": (joining.Gate, numbers(4), ("a.*", "b.*", "head.*")),
    "bilinear": (joining.Pairs, numbers(4), ALL),
    "scaled": (joining.Scaled, numbers(4), ALL),
    "twice": (joining.Twice, numbers(4), ("inner.bias", "head.*")),
    "named outputs": (joining.Named, numbers(4), ("first.*", "head.*", "unused.*")),
    "slices": (joining.Slices, numbers(4), ("first.*", "second.*", "head.*")),
    "straight through": (joining.StraightThrough, numbers(4), NONE),
    "rare branch": (joining.RareBranch, numbers(4), ("head.*",)),
    "rare path": (joining.RarePath, numbers(4), NONE),
    "rare expert": (joining.RareExpert, numbers(4), NONE),
}


def net(name: str) -> Net:
    """Return a fresh network of this name; weights, running statistics and inputs are drawn from the name alone."""
    make, inputs, patterns = MAKERS[name]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(name.encode()))
        model, x = make().double().eval(), inputs()
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.5 * torch.rand_like(buffer))
        returned = model(x.clone())
    outputs = returned["logits"] if isinstance(returned, dict) else returned
    free = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    affine = frozenset(name for name in free if any(fnmatch(name, pattern) for pattern in patterns))
    return Net(model, x, tuple(outputs.shape[1:]), affine)
