"""Small convolutional networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 2, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def one_axis() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Conv1d(3, 2, 2, stride=2), nn.Flatten(), nn.Linear(4, 3))


def transposed() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(2, 2, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )


def batch_norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels)


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels)


class Block(nn.Module):
    """Two convolutions with norms, the second one's output added to a convolution of the inputs."""

    def __init__(self, before: int, after: int, norm: type | object):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, 1, 1, bias=False), nn.Conv2d(after, after, 2, bias=False)
        self.norm1, self.norm2 = norm(after), norm(after)  # type: ignore[operator]
        self.shortcut = nn.Conv2d(before, after, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)), inplace=True)
        h = self.norm2(self.conv2(h))
        h += self.shortcut(x)
        return F.relu(h)


class ResNet(nn.Module):
    """Two residual blocks, the mean over all places, a linear head."""

    def __init__(self, norm: object):
        super().__init__()
        self.blocks = nn.Sequential(Block(1, 2, norm), Block(2, 3, norm))
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean((2, 3)))


class DenseNet(nn.Module):
    """Each convolution sees the outputs of all that stand before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1 + 2 * i, 2, 3, padding=1) for i in range(3))
        self.norm, self.head = nn.BatchNorm2d(7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.cat([x, F.relu(conv(x))], 1)
        return self.head(F.relu(self.norm(x)).amax((2, 3)))
