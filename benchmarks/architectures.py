"""A CNN, two residual networks and a small vision transformer on digits, at their initialisation and trained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.digits import digits

SIDE, CLASSES = 8, 10  # of an image, and of its labels
STEPS, RATE, BATCH = {"init": 0, "trained": 300, "late": 1500}, 3e-3, 128  # of Adam
Norm = Callable[[int], nn.Module]


class Residual(nn.Module):
    """Two convolutions with norms beside a shortcut, which is a convolution where the shape changes."""

    def __init__(self, before: int, after: int, norm: Norm):
        super().__init__()
        stride = 1 if before == after else 2
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([norm(after), norm(after)])
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), norm(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.shortcut(x) + self.norms[1](self.second(h)))


class Attention(nn.Module):
    """A pre-norm encoder layer: attention of two heads, then an MLP with GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[0](x)
        q, k, v = (layer(h).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out((scores @ v).transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norms[1](x))))


class ViT(nn.Module):
    """Rows of the image as tokens with learned positions, encoder layers, the mean of the tokens to a head."""

    def __init__(self, width: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.embed, self.positions = nn.Linear(SIDE, width), nn.Parameter(torch.randn(SIDE, width) / 4)
        self.layers = nn.Sequential(*(Attention(width) for _ in range(depth)), nn.LayerNorm(width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.embed(x.flatten(1, 2)) + self.positions).mean(1))


def cnn(channels: int = 4) -> nn.Module:
    """Three convolutions with ReLU and a linear head."""
    c = channels
    return nn.Sequential(
        nn.Conv2d(1, c, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * c, 2 * c, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * c, CLASSES),
    )


def resnet(norm: Norm, channels: int = 4) -> nn.Module:
    """A stem, two residual blocks, the mean over places and a linear head."""
    c = channels
    return nn.Sequential(
        nn.Conv2d(1, c, 3, padding=1, bias=False),
        norm(c),
        nn.ReLU(),
        Residual(c, c, norm),
        Residual(c, 2 * c, norm),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * c, CLASSES),
    )


NETS: dict[str, Callable[[], nn.Module]] = {
    "CNN": cnn,
    "ResNet-BN": lambda: resnet(nn.BatchNorm2d),
    "ResNet-GN": lambda: resnet(lambda width: nn.GroupNorm(2, width)),
    "ViT": ViT,
}


@dataclass(frozen=True)
class Trained:
    """A network in eval mode after some steps of training, float32, with the data that it is looked at on."""

    net: str
    when: str
    model: nn.Module
    x: Tensor
    y: Tensor


def images(num_data: int) -> tuple[Tensor, Tensor]:
    """Return digits (N, 1, 8, 8) in float32, of mean 0 and standard deviation 1, and their classes."""
    pixels, classes = digits(num_data)
    x = torch.from_numpy(pixels.astype(np.float32)).reshape(-1, 1, SIDE, SIDE)
    return (x - x.mean()) / x.std(), torch.from_numpy(classes)


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int, seed: int = 0) -> None:
    """Take steps of Adam on random mini-batches in training mode, and leave the model in eval mode."""
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    rng = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        batch = torch.randint(len(x), (BATCH,), generator=rng)
        optimizer.zero_grad()
        functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    model.eval()


def architectures(
    num_data: int, nets: tuple[str, ...] = tuple(NETS), whens: tuple[str, ...] = ("init", "trained")
) -> Iterator[Trained]:
    """Yield each network at each time, trained on the data that it is looked at on, cross entropy."""
    x, y = images(num_data)
    for net in nets:
        for when in whens:
            torch.manual_seed(0)
            model = NETS[net]()
            train(model, x, y, STEPS[when])
            yield Trained(net, when, model, x, y)
