"""How an entry of the zoo is drawn: from its name alone, so that it stays what it is while others come and go."""

import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Entry = tuple[nn.Module, Tensor, int]
Maker = Callable[[], Entry]
SAMPLES = 4


def entry(name: str, make: Callable[[], nn.Module], inputs: Callable[[], Tensor]) -> Maker:
    """A maker that draws the module, its weights off their zeros, and the inputs from the name alone."""

    def drawn() -> Entry:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(zlib.crc32(name.encode()))
            module, x = make().double(), inputs()
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.add_(0.2 * torch.rand_like(buffer))
            module.eval()
            return module, x, module(x.clone()).reshape(len(x), -1).shape[1]

    return drawn


def numbers(*shape: int) -> Callable[[], Tensor]:
    """Inputs (SAMPLES, *shape), normal."""
    return lambda: torch.randn(SAMPLES, *(shape or (3,)), dtype=torch.float64)


def words(length: int, vocabulary: int) -> Callable[[], Tensor]:
    """Inputs (SAMPLES, length), indices."""
    return lambda: torch.randint(vocabulary, (SAMPLES, length))


class Using(nn.Module):
    """f(module, x), its outputs flattened."""

    def __init__(self, module: nn.Module, f: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.module, self.f = module, f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.module, x).flatten(1)


def using(make: Callable[[], nn.Module], f: Callable[[Any, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Using(make(), f)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
