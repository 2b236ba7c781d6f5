"""Networks that torch.func refuses and plain autograd takes, and those that neither can serve."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.zoo_drawn import Entry, Maker, Using, entry, numbers, small, using, words

GRAPH = torch.tensor([[0.0, 0.7, 0.0, 0.0], [0.3, 0.0, 1.1, 0.0], [0.0, 0.2, 0.0, 0.5], [0.9, 0.0, 0.0, 0.0]]).double()


def packed(net: nn.LSTM, x: Tensor) -> Tensor:
    lengths = torch.tensor([3, 2, 1, 2])[: len(x)]
    out, _ = net(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(out, batch_first=True, total_length=3)[0]


class Square(torch.autograd.Function):
    """z^2, by hand and without the rules that torch.func asks for."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return z * z

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return 2 * z * g


def slope(net: nn.Module, x: Tensor) -> Tensor:
    """d net / dx, by autograd within the forward pass."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        return torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]


def saved_elsewhere(net: nn.Module, x: Tensor) -> Tensor:
    with torch.autograd.graph.save_on_cpu():
        return net(x)


def jacobian(net: nn.Module, x: Tensor) -> Tensor:
    """d net / dx by torch.autograd.functional."""
    rows = torch.autograd.functional.jacobian(lambda a: net(a).sum(0), x, create_graph=True)
    return rows.transpose(0, 1)


def ragged(net: nn.Module, x: Tensor) -> Tensor:
    return torch.nested.to_padded_tensor(torch.nested.as_nested_tensor(list(net(x).sin())), 0.0)


def hooked(kind: str) -> nn.Module:
    """A network with a hook that watches the backward pass and changes nothing."""
    net = small()
    getattr(net[2], f"register_full_backward_{kind}")(lambda *_: None)
    return net


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.complex128) @ self.weight).abs()


def traced() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(small(), torch.ones(4, 3))


def longer() -> Entry:
    """An embedding whose rows are longer than max_norm."""
    table = nn.Embedding(5, 2, max_norm=0.1, _weight=torch.ones(5, 2, dtype=torch.float64))
    return Using(table, lambda net, x: net(x)), words(3, 5)(), 6


AUTOGRAD: dict[str, Maker] = {
    name: entry(name, make, numbers())
    for name, make in {
        "autograd function": using(small, lambda net, x: Square.apply(net(x)).sin()),
        "slope": using(small, slope),
        "autograd.functional": using(small, jacobian),
        "saved elsewhere": using(small, saved_elsewhere),
        "backward hook": lambda: hooked("hook"),
        "backward pre-hook": lambda: hooked("pre_hook"),
        "numpy": using(small, lambda net, x: net(x) * float(net(x).detach().numpy().shape[1])),
        "sparse product": using(
            lambda: nn.Linear(3, 4), lambda net, x: torch.sparse.mm(GRAPH.to_sparse(), net(x).T).T.sin()
        ),
        "nested tensor": using(small, ragged),
    }.items()
} | {
    "LSTM packed": entry("LSTM packed", using(lambda: nn.LSTM(2, 2, batch_first=True), packed), numbers(3, 2)),
}
REFUSED: dict[str, tuple[Maker, str]] = {
    "complex weights": (
        entry("complex weights", Complex, numbers()),
        "a Hessian over the complex numbers is not this one",
    ),
    "segment_reduce": (
        entry(
            "segment_reduce",
            using(
                lambda: nn.Linear(3, 4),
                lambda net, x: torch.segment_reduce(net(x).exp(), "sum", lengths=torch.ones(len(x), dtype=torch.long)),
            ),
            numbers(),
        ),
        "torch has no second derivative of it",
    ),
    "hardsigmoid of aten": (
        entry("aten", using(lambda: nn.Linear(3, 4), lambda net, x: torch.ops.aten.hardsigmoid(net(x))), numbers()),
        "torch has no second derivative of it, and the dispatcher's own names cannot be replaced",
    ),
    "traced": (entry("traced", traced, numbers()), "the weights inside TorchScript cannot be replaced"),
    "longer than max_norm": (longer, "a forward pass would change the weights"),
}
