"""Networks whose gradient or Hessian is not what autograd says it is, each with the parameters that it spoils."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Act = Callable[[Tensor], Tensor]


def function(forward: Act, backward: Callable[[Tensor, Tensor], Tensor]) -> Act:
    """An autograd.Function with a backward of its own, backward(x, cotangent)."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
            return backward(*ctx.saved_tensors, cotangent)

    return Own.apply


def hooked(change: Act) -> Act:
    """The identity whose cotangent is changed by a hook."""

    def act(h: Tensor) -> Tensor:
        h = h * 1
        if h.requires_grad:
            h.register_hook(change)
        return h

    return act


class Between(nn.Module):
    """Three affine layers with `phi` between them; `act` stands behind the second, so that it spoils what is before."""

    def __init__(self, act: Act, phi: Act = torch.tanh):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.act, self.phi = act, phi

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.phi(self.second(self.phi(self.first(x))))))


class Weighed(nn.Module):
    """The first layer's weight passes through `act` before it is used."""

    def __init__(self, act: Act):
        super().__init__()
        self.first, self.head, self.act = nn.Linear(5, 6), nn.Linear(6, 3), act

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(functional.linear(x, self.act(self.first.weight), self.first.bias)))


def _shift(like: Tensor) -> Tensor:
    return torch.eye(6).roll(1, 0).to(like)


ACTS: dict[str, Act] = {
    "gradient reversed": function(lambda x: x.clone(), lambda x, g: -g),
    "gradient halved": function(lambda x: x.clone(), lambda x, g: g / 2),
    "cube with a detached slope": function(lambda x: x**3, lambda x, g: g * 3 * (x**2).detach()),
    "sine whose slope is half of it": function(torch.sin, lambda x, g: g * torch.cos(x) / 2),
    "exp whose slope is a constant": function(torch.exp, lambda x, g: g * 1.3),
    "softplus with the slope of relu": function(functional.softplus, lambda x, g: g * (x > 0)),
    "square, slope rounded": function(lambda x: x**2, lambda x, g: g * torch.round(16 * x) / 8),
    "clamped slope": function(torch.sinh, lambda x, g: (g * torch.cosh(x)).clamp(-1e-3, 1e-3)),
    "slope in the wrong order": function(torch.sin, lambda x, g: g * torch.cos(x.flip(1))),
    "slope transposed": function(lambda x: x @ _shift(x), lambda x, g: g @ _shift(g)),
    "straight through": lambda h: h + (torch.round(4 * h) / 4 - h).detach(),
    "straight through a sign": lambda h: h + (torch.sign(h) - h).detach(),
    "norm detached": lambda h: h / h.detach().norm(dim=1, keepdim=True),
    "mean detached": lambda h: h - h.detach().mean(1, keepdim=True),
    "gate detached": lambda h: h * torch.sigmoid(3 * h).detach(),
    "softmax under no_grad": lambda h: h * _silent(h),
    "half of it detached": lambda h: 0.5 * h**2 + 0.5 * (h**2).detach(),
    "one column detached": lambda h: torch.cat([h[:, :1].detach() * h[:, 1:2], h[:, 1:]], dim=1),
    "hook that clips": hooked(lambda g: g.clamp(-1e-3, 1e-3)),
    "hook that scales": hooked(lambda g: 1.01 * g),
    "hook that drops a column": hooked(lambda g: g * torch.tensor([0.0, 1, 1, 1, 1, 1]).to(g)),
    "hook that normalizes": hooked(lambda g: g / (g.detach().norm() + 1)),
}  # fmt: skip
WEIGHTS: dict[str, Act] = {
    "weight quantized straight through": lambda w: w + (torch.round(8 * w) / 8 - w).detach(),
    "weight norm with a constant norm": lambda w: w / w.detach().norm(dim=1, keepdim=True),
    "weight standardized by constants": lambda w: (w - w.detach().mean()) / w.detach().std(),
    "weight clipped, slope of one": lambda w: w + (w.clamp(-0.1, 0.1) - w).detach(),
}


def _silent(h: Tensor) -> Tensor:
    with torch.no_grad():
        return h.softmax(1)


FAULTS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    **{name: (lambda act=act: Between(act), ("first", "second")) for name, act in ACTS.items()},
    **{f"{name}, relu": (lambda act=ACTS[name]: Between(act, torch.relu), ("first", "second"))
       for name in ("norm detached", "gradient halved", "cube with a detached slope")},
    **{name: (lambda act=act: Weighed(act), ("first",)) for name, act in WEIGHTS.items()},
}  # fmt: skip
