"""The layers of torch.nn that act on numbers or images, each between or behind a linear one."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from tests.zoo_drawn import SAMPLES, Maker, entry, numbers


def between(layer: Callable[[], nn.Module], width: int = 4, out: int | None = None) -> Callable[[], nn.Module]:
    """A layer between two linear ones."""
    return lambda: nn.Sequential(nn.Linear(3, width), layer(), nn.Linear(out or width, 2))


def shaped(layer: Callable[[], nn.Module], *shape: int) -> Callable[[], nn.Module]:
    """A layer that takes (N, *shape), fed by a linear one, its outputs through tanh."""
    width = torch.Size(shape).numel()
    return lambda: nn.Sequential(nn.Linear(3, width), nn.Unflatten(1, shape), layer(), nn.Flatten(), nn.Tanh())


PLAIN = (
    *(nn.ReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Sigmoid),
    *(nn.Tanh, nn.LogSigmoid, nn.Tanhshrink, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LeakyReLU, nn.RReLU),
    *(nn.PReLU, nn.Identity, nn.Dropout, nn.AlphaDropout, nn.Softshrink),
    nn.Hardshrink,
)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    **{kind.__name__: kind for kind in PLAIN},
    **{kind.__name__: partial(kind, 1) for kind in (nn.Softmin, nn.Softmax, nn.LogSoftmax)},
    "GELU tanh": lambda: nn.GELU("tanh"),
    "PReLU by channel": lambda: nn.PReLU(4),
    "Softplus beta": lambda: nn.Softplus(3.0, 1.0),
    "Threshold": lambda: nn.Threshold(0.1, 0.3),
    "CELU inplace": lambda: nn.CELU(1.3, inplace=True),
    "ELU inplace": lambda: nn.ELU(1.3, inplace=True),
    "SELU inplace": lambda: nn.SELU(inplace=True),
    "Hardswish inplace": lambda: nn.Hardswish(inplace=True),
    "Hardsigmoid inplace": lambda: nn.Hardsigmoid(inplace=True),
    "Hardtanh inplace": lambda: nn.Hardtanh(-0.5, 0.8, inplace=True),
    "RReLU inplace": lambda: nn.RReLU(inplace=True),
    "SiLU inplace": lambda: nn.SiLU(inplace=True),
    "Mish inplace": lambda: nn.Mish(inplace=True),
    "ReLU inplace": lambda: nn.ReLU(inplace=True),
    "LeakyReLU inplace": lambda: nn.LeakyReLU(0.2, inplace=True),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
}
IMAGES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(2, 2, 3, padding=1), (2, 4)),
    "Conv1d circular": (lambda: nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"), (1, 5)),
    "Conv2d": (lambda: nn.Conv2d(1, 2, 2, stride=2), (1, 4, 3)),
    "Conv2d reflect": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 3, 3)),
    "Conv2d replicate": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="replicate"), (1, 3, 3)),
    "Conv2d dilated in groups": (lambda: nn.Conv2d(2, 2, 2, dilation=2, groups=2), (2, 3, 3)),
    "Conv3d": (lambda: nn.Conv3d(1, 1, 2), (1, 2, 2, 3)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 1, 3, stride=2, output_padding=1), (2, 3)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(1, 2, 2, stride=2), (1, 2, 3)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(1, 1, 2), (1, 2, 2, 2)),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), (1, 6)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (1, 2, 6)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (1, 2, 2, 3)),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (1, 6)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, padding=1), (1, 3, 4)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (1, 2, 2, 3)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(2), (1, 5)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((1, 2)), (1, 3, 4)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(1), (1, 2, 2, 3)),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(2), (1, 5)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(2), (1, 3, 4)),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(1), (1, 2, 2, 3)),
    "LPPool1d": (lambda: nn.LPPool1d(4, 2), (1, 6)),
    "LPPool2d": (lambda: nn.LPPool2d(2, 2), (1, 2, 6)),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), (1, 2, 2, 2)),
    "FractionalMaxPool2d": (
        lambda: nn.FractionalMaxPool2d(2, output_size=2, _random_samples=torch.full((SAMPLES, 1, 2), 0.4)),
        (1, 3, 4),
    ),
    "Fold": (lambda: nn.Fold((3, 3), 2), (4, 4)),
    "Unfold": (lambda: nn.Unfold(2), (1, 3, 4)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (4, 1, 2)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (1, 2, 4)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), (4, 1, 2)),
    "Upsample nearest": (lambda: nn.Upsample(scale_factor=2), (1, 2, 3)),
    "Upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3)),
    "Upsample bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic", align_corners=True), (1, 2, 3)),
    "Upsample linear": (lambda: nn.Upsample(scale_factor=2, mode="linear"), (1, 6)),
    "Upsample trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), (1, 2, 1, 2)),
    "ReflectionPad1d": (lambda: nn.ReflectionPad1d(2), (1, 5)),
    "ReflectionPad3d": (lambda: nn.ReflectionPad3d(1), (1, 2, 2, 2)),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(1), (1, 2, 3)),
    "ReplicationPad3d": (lambda: nn.ReplicationPad3d(1), (1, 1, 2, 2)),
    "CircularPad2d": (lambda: nn.CircularPad2d(1), (1, 2, 3)),
    "ConstantPad1d": (lambda: nn.ConstantPad1d(1, 0.5), (1, 5)),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), (1, 2, 3)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2, affine=True), (2, 4)),
    "InstanceNorm2d running": (lambda: nn.InstanceNorm2d(2, affine=True, track_running_stats=True), (2, 2, 2)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), (2, 2, 2)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2), (2, 1, 2, 2)),
    "GroupNorm of images": (lambda: nn.GroupNorm(2, 4), (4, 1, 2)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2, 0.5), (4, 2)),
    "Softmax2d": (nn.Softmax2d, (3, 1, 2)),
    "Dropout2d": (nn.Dropout2d, (2, 1, 2)),
    "GLU": (nn.GLU, (6,)),
}
LAYERS: dict[str, Maker] = {
    **{name: entry(name, between(kind), numbers()) for name, kind in ACTIVATIONS.items()},
    **{name: entry(name, shaped(kind, *shape), numbers()) for name, (kind, shape) in IMAGES.items()},
}
