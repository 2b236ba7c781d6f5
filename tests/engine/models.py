"""Factories for --model: networks that are right, too hungry, or broken at some weights."""

import torch
from torch import Tensor, nn

HUGE = 2**50  # bytes: no machine has them


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


class _Acting(nn.Sequential):
    """`plain`, with an act of its own where it sees the whole data."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            self.act()
        return super().forward(x)


class _Hungry(_Acting):
    def act(self) -> None:
        torch.empty(HUGE, dtype=torch.uint8)


class _HungryOnGpu(_Acting):
    def act(self) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")


class _Broken(_Acting):
    def act(self) -> None:
        raise RuntimeError("a shape went wrong")


class BrokenAtStepOne(_Acting):
    """Raises at the weights of write_checkpoint(seed=1) alone."""

    def act(self) -> None:
        rng = torch.Generator().manual_seed(1)
        weight = torch.randn(5, 6, generator=rng) / 6**0.5
        if torch.equal(self[0].weight, weight):
            raise ZeroDivisionError("the model's own bug")


hungry, hungry_on_gpu, broken = _Hungry, _HungryOnGpu, _Broken
