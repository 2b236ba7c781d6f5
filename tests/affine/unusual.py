"""Networks that use parameters in ways for which a formula would be wrong, or hard to find."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode


class Language(nn.Module):
    """Words, positions and a first token through a Transformer's layer, with samples on the first or second axis."""

    def __init__(self, batch_first: bool):
        super().__init__()
        self.words, self.places = nn.Embedding(7, 8, padding_idx=2), nn.Embedding(6, 8)
        self.first, self.shift = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(9, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=batch_first, norm_first=True)
        self.weight, self.bias = nn.Parameter(torch.randn(8, 5)), nn.Parameter(torch.randn(5))
        self.head, self.swap = nn.Linear(5, 3), not batch_first

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x) + self.places(torch.arange(x.shape[1]))
        h = torch.cat([self.first.expand(len(x), -1, -1), h], 1)
        h = h + self.shift[: h.shape[1]]
        h = self.layer(h.transpose(0, 1)).transpose(0, 1) if self.swap else self.layer(h)
        h = torch.addmm(self.bias, h.reshape(-1, 8), self.weight).view(len(x), -1, 5)
        return self.head(h[:, 0])


class Sorted(nn.Module):
    """A layer that sees the samples in the order of their first number, as where experts take what is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        order = x[:, 0].argsort()
        return self.head(F.relu(self.inner(x[order]))[order.argsort()])


class Dispatched(nn.Module):
    """Experts that take samples by a product with a matrix of zeros and ones, each in the order of their arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.experts, self.head = nn.ModuleList(nn.Linear(4, 5) for _ in range(2)), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        taken = F.one_hot((x[:, 0] > 0).long(), 2)
        place = F.one_hot((taken.cumsum(0) - 1) * taken, len(x)) * taken[:, :, None]
        seen = torch.einsum("bep,bd->epd", place.to(x), x)
        found = torch.stack([expert(each) for expert, each in zip(self.experts, seen, strict=True)])
        return self.head(F.relu(torch.einsum("bep,eph->bh", place.to(x), found)))


class Solid(nn.Module):
    """Convolutions over three axes with every option, and a norm of each sample."""

    def __init__(self) -> None:
        super().__init__()
        options = {"stride": (1, 2, 1), "padding": (1, 0, 2), "dilation": (1, 1, 2), "groups": 2}
        self.first = nn.Conv3d(2, 4, (2, 3, 1), padding_mode="circular", **options)
        self.second = nn.Conv3d(4, 2, (3, 1, 3), padding="same", dilation=2)
        self.norm, self.head = nn.InstanceNorm3d(2, affine=True), nn.Linear(140, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.second(F.elu(self.first(x)))).flatten(1))


class Overridden(nn.Linear):
    """A layer that is none of what its class says."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * F.linear(x, self.weight.abs(), self.bias)


class Mixed(nn.Module):
    """Parameters used in two ways, by parts and through views, an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.odd, self.square, self.parts = Overridden(4, 4), nn.Parameter(torch.randn(4, 4)), nn.Linear(4, 6)
        self.both = nn.Parameter(torch.randn(4))
        self.shift, self.gain, self.head = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(3)), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = (self.odd(x) - self.shift).sin() - self.both
        h = h.cos() + self.both
        h = h @ self.square.T + h.sin() @ self.square
        h += 0.1
        h = F.relu(h, inplace=True)
        first, second = F.linear(h, self.parts.weight[:3]), F.linear(h, self.parts.weight[3:], self.parts.bias[3:])
        return self.head(first * self.gain - second + self.shift[:3])


class Inside(nn.Module):
    """A derivative inside forward, which depends on a weight by another way than the outputs of its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(4, 5), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.inner(at).tanh().sum(), at, create_graph=True)
        return self.head(slope)


class Named(nn.Module):
    """Products and sums whose operands are handed over by name, with parameters and without."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(5))
        self.shift, self.head = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.mul(input=F.relu(torch.matmul(input=x, other=self.weight)), other=self.scale)
        return torch.addmm(input=self.shift, mat1=h.add(other=h), mat2=self.head)


class Alone(nn.Module):
    """A network that refuses to run where its operations are followed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        if _get_current_dispatch_mode() is not None:
            raise RuntimeError("not under a mode")
        return self.net(x)
