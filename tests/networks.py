"""Tiny networks with data, and dense float64 oracles of everything the library only multiplies by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, hessian, jacrev

from scalecurv.curvature.problem import Problem

NUM_DATA, NUM_INPUTS, NUM_OUTPUTS = 7, 6, 3


def mlp(activation: Callable[[], nn.Module], widths: tuple[int, ...] = (NUM_INPUTS, 5, 4, NUM_OUTPUTS)) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [activation(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


class Tied(nn.Module):
    """One weight matrix in two layers, once by assignment and once by running a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(NUM_INPUTS, NUM_INPUTS), nn.Linear(NUM_INPUTS, NUM_INPUTS)
        self.second.weight = self.first.weight
        self.head = nn.Linear(NUM_INPUTS, NUM_OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(torch.tanh(self.second(torch.tanh(self.first(x))))))


class Partly(nn.Module):
    """A parameter that takes no part, one that is frozen, and a buffer that does."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))
        self.body = mlp(nn.ReLU)
        self.body[0].bias.requires_grad_(False)
        self.register_buffer("gain", torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * self.gain)


def conv() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3))


def batch_norm() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.running_mean += torch.linspace(-1, 1, 4)
    norm.running_var *= torch.linspace(0.5, 2, 4)
    return nn.Sequential(nn.Linear(NUM_INPUTS, 4), norm, nn.ReLU(), nn.Linear(4, NUM_OUTPUTS)).eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(mlp, nn.ReLU),
    "tanh": partial(mlp, nn.Tanh),
    "conv": conv,
    "tied": Tied,
    "partly": Partly,
    "batch norm": batch_norm,
    "one output": partial(mlp, nn.ReLU, (NUM_INPUTS, 4, 1)),
}
# one output has no cross-entropy
CASES = [
    (name, loss, reduction)
    for name in NETWORKS
    for loss in ("mse", "cross_entropy")
    for reduction in ("mean", "sum")
    if (name, loss) != ("one output", "cross_entropy")
]


def network(name: str, seed: int = 0) -> nn.Module:
    """The network of this name in float64, its weights drawn by `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETWORKS[name]().double()


def data(loss: str, num_outputs: int = NUM_OUTPUTS, num_data: int = NUM_DATA, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Gaussian inputs; Gaussian targets for mse, classes for cross_entropy."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(num_data, NUM_INPUTS, generator=rng, dtype=torch.float64)
    if loss == "mse":
        return x, torch.randn(num_data, num_outputs, generator=rng, dtype=torch.float64)
    return x, torch.randint(num_outputs, (num_data,), generator=rng)


def problem(name: str, loss: str = "mse", reduction: str = "mean", **options: object) -> Problem:
    """The Problem of a named network and its data; `batch_size` 3 leaves a ragged last batch."""
    num_outputs = 1 if name == "one output" else NUM_OUTPUTS
    return Problem(network(name), data(loss, num_outputs), loss, reduction=reduction, **options)


@dataclass(frozen=True)
class Dense:
    """loss L, gradient g (P,), hessian H and gauss_newton G (P, P), jacobian J (N D, P) sample by sample."""

    loss: float
    gradient: Tensor
    hessian: Tensor
    gauss_newton: Tensor
    jacobian: Tensor


def dense(model: nn.Module, x: Tensor, y: Tensor, loss: str, reduction: str = "mean") -> Dense:
    """Everything by automatic differentiation of the flat parameters, all data at once."""
    free = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    scale = 1 / len(x) if reduction == "mean" else 1.0

    def outputs(theta: Tensor) -> Tensor:
        parts = theta.split([p.numel() for p in free.values()])
        return functional_call(model, {n: t.view_as(p) for (n, p), t in zip(free.items(), parts, strict=True)}, (x,))

    def loss_of(f: Tensor) -> Tensor:
        f = f.view(len(x), -1)
        if loss == "mse":
            return scale * 0.5 * (f - y).pow(2).sum()
        of_class = y if y.is_floating_point() else torch.eye(f.shape[1], dtype=f.dtype)[y]
        return -scale * (of_class * f.log_softmax(1)).sum()

    theta = torch.cat([p.flatten() for p in free.values()])
    f = outputs(theta)
    gradient, value = grad_and_value(lambda t: loss_of(outputs(t)))(theta)
    J = jacrev(lambda t: outputs(t).flatten())(theta)
    M = hessian(loss_of)(f.flatten())
    return Dense(float(value), gradient, hessian(lambda t: loss_of(outputs(t)))(theta), J.T @ M @ J, J)


@cache
def oracle(name: str, loss: str = "mse", reduction: str = "mean") -> Dense:
    """The dense truth about `problem(name, loss, reduction)`."""
    num_outputs = 1 if name == "one output" else NUM_OUTPUTS
    return dense(network(name), *data(loss, num_outputs), loss, reduction)
