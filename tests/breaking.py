"""Modules that break at the inputs they are told to: inside, between and after their modules, beside a mask."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.networks import data


class Function(nn.Module):
    """A module without parameters that does what it is told."""

    def __init__(self, act: Callable[[Tensor], Tensor]):
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class Residual(nn.Module):
    """Code before, between and after its modules: log x, head, minus log of an output."""

    def __init__(self, where: str):
        super().__init__()
        self.where, self.body, self.head = where, nn.Linear(6, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(6))
            self.body.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        f = self.head(h.log() if self.where == "between" else h)
        return f - h[:, :3].log() if self.where == "after" else f


class Pair(nn.Module):
    """Puts out a tuple whose second tensor is the first that breaks."""

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, [x, x.log()]


class Second(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = Pair(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pair(x)[1][1])


class Softened(nn.Module):
    """Takes an infinite mask beside its input and puts out what is finite."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + mask.exp()


class Masked(nn.Module):
    """x_1 + exp(-inf), and the logarithm of it: the mask has a row a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mask, self.log = nn.Linear(6, 3), Softened(), Function(torch.log)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.full((len(x), 3), -torch.inf)
        return self.body(x) + self.log(self.mask(x[:, :3], mask))


def positive(row: int, value: float, num_data: int = 30) -> tuple[Tensor, Tensor]:
    """Inputs of about 1 with one sample of `value`."""
    x, y = data("mse", num_data=num_data)
    x = 1 + x.abs()
    x[row] = value
    return x, y


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().double()


def with_function(act: Callable[[Tensor], Tensor]) -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(6, 5), Function(act), nn.Linear(5, 3)))
