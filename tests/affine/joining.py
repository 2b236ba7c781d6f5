"""Small networks whose parts meet in unusual ways: products, tied layers, views, branches that few samples take."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Recurrent(nn.Module):
    """A recurrent layer whose last state goes to a linear head."""

    def __init__(self, kind: str):
        super().__init__()
        options = {"hidden_size": 3, "batch_first": True}
        self.rnn = nn.LSTM(2, **options) if kind == "lstm" else nn.RNN(2, nonlinearity=kind, **options)
        self.head = nn.Linear(3, 3)
        nn.init.constant_(self.rnn.bias_ih_l0, 0.7)  # most units are on

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Gate(nn.Module):
    """The product of two branches of one stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = (nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.stem(x))
        return self.head(h + self.a(h) * F.relu(self.b(h)))


class Pairs(nn.Module):
    """A bilinear form of the outputs of two layers, each of which has its own half of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.pair = nn.Linear(2, 3), nn.Linear(2, 2), nn.Bilinear(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(F.relu(self.left(x[:, :2])), self.right(x[:, 2:]))


class Scaled(nn.Module):
    """A parameter for each channel, used in forward without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(1))
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.first(x) * self.scale - self.shift))


class Twice(nn.Module):
    """One layer, run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.inner(F.relu(self.inner(x)))))


class Named(nn.Module):
    """Outputs by name, beside others that are smooth."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.head = nn.Linear(4, 5), nn.Linear(5, 2), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        h = F.relu(self.first(x))
        return {"logits": self.head(h), "beside": self.unused(h).sum().tanh()}


class Slices(nn.Module):
    """Writes into slices and views of one array, a part of which is smooth in a third layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(4, 2)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 7)
        h[:, :3] = self.first(x)
        h.T[3:5].copy_(self.second(x).T)
        h.relu_()
        h = torch.cat([h[:, :5], self.third(x).sin()], 1)
        return self.head(h.masked_fill(h > 3.0, 3.0))


class _Surrogate(torch.autograd.Function):
    """The ReLU, with a smooth function in the place of its derivative."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        return h.relu()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return cotangent * h.sigmoid()


class StraightThrough(nn.Module):
    """A layer whose ReLU has a derivative of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(_Surrogate.apply(self.first(x)))


class RareBranch(nn.Module):
    """A tanh in the place of a ReLU, for inputs that are larger than any of the first samples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def hidden(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return torch.where(x.amax(1, keepdim=True) > 9.0, h.tanh(), h.relu())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))


class RarePath(RareBranch):
    """The same by a statement of Python."""

    def hidden(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return h.tanh() if x.max() > 9.0 else h.relu()


class RareExpert(RareBranch):
    """The same by the rows that are chosen."""

    def hidden(self, x: Tensor) -> Tensor:
        h = self.first(x).relu()
        rows = (x.amax(1) > 9.0).nonzero()[:, 0]
        if len(rows):
            h[rows] = h[rows].tanh()
        return h
