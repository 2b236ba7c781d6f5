"""Small networks for scikit-learn's digits other than MLPs, for `scalecurv analyze ... --model models:cnn`.

Each factory takes no argument and returns a module of x (N, 64), images of 8 x 8 pixels row by row, with 10 outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE, CLASSES = 8, 10


class CNN(nn.Module):
    """A convolution, batch norm, a residual block of two convolutions in groups, pooling and a linear head."""

    def __init__(self, channels: int = 6):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1, bias=False)  # batch norm has a bias of its own
        self.norm = nn.BatchNorm2d(channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1, groups=3)
        self.outer = nn.Conv2d(channels, channels, 1, groups=2)
        self.head = nn.Linear(4 * channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.stem(x.unflatten(1, (1, SIDE, SIDE)))))
        h = torch.relu(h + self.outer(torch.relu(self.inner(h))))
        return self.head(functional.avg_pool2d(h, 4).flatten(1))


class Transformer(nn.Module):
    """One encoder layer on the rows of the image as tokens with learned positions; their mean goes to a linear head."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.embed = nn.Linear(SIDE, width)
        self.positions = nn.Parameter(torch.randn(SIDE, width) / 2)
        self.encoder = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, activation="gelu", batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.unflatten(1, (SIDE, SIDE))) + self.positions
        return self.head(self.encoder(tokens).mean(1))


def cnn() -> nn.Module:
    """Return a CNN of 454 parameters."""
    return CNN()


def transformer() -> nn.Module:
    """Return a transformer of 826 parameters."""
    return Transformer()
