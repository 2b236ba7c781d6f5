"""Tiny networks with data, and the dense truth about them."""

import copy
from collections.abc import Callable
from functools import cache, partial
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from scalecurv.problem.problem import Problem
from tests.dense import Dense, dense

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
LAYER_SIZES: dict[str, dict[str, int]] = {  # free parameters of each module, counted by hand
    "relu": {"0": 35, "2": 24, "4": 15},
    "tanh": {"0": 35, "2": 24, "4": 15},
    "conv": {"1": 15, "4": 21},
    "tied": {"first": 42, "second": 6, "head": 21},
    "partly": {"unused": 3, "body.0": 30, "body.2": 24, "body.4": 15},
    "batch norm": {"0": 28, "1": 8, "3": 15},
    "one output": {"0": 28, "2": 5},
}
# one output has no cross-entropy
CASES = [
    (name, loss, reduction)
    for name in NETWORKS
    for loss in ("mse", "cross_entropy")
    for reduction in ("mean", "sum")
    if (name, loss) != ("one output", "cross_entropy")
]
# each network with each loss, the reductions in turn: any two of network, loss and reduction meet in some case
COVERING = [case for i, case in enumerate(CASES) if i % 2 == (i // 2 + i // 4) % 2 or case[0] == "one output"]


def network(name: str, seed: int = 0) -> nn.Module:
    """Return the network of this name in float64 with weights drawn by `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETWORKS[name]().double()


def by_products(name: str) -> str:
    """Return the route of a named network that does not write H out: exact where its structure allows, else generic."""
    return "exact" if name in ("relu", "one output") else "generic"


def data(loss: str, num_outputs: int = NUM_OUTPUTS, num_data: int = NUM_DATA, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return Gaussian inputs, and Gaussian targets for mse, classes for cross_entropy."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(num_data, NUM_INPUTS, generator=rng, dtype=torch.float64)
    if loss == "mse":
        return x, torch.randn(num_data, num_outputs, generator=rng, dtype=torch.float64)
    return x, torch.randint(num_outputs, (num_data,), generator=rng)


def problem(name: str, loss: str = "mse", reduction: str = "mean", **options: object) -> Problem:
    """Return the Problem of a named network and its data; `batch_size` 3 leaves a short last batch."""
    num_outputs = 1 if name == "one output" else NUM_OUTPUTS
    return Problem(network(name), data(loss, num_outputs), loss, reduction=reduction, **options)


@cache
def oracle(name: str, loss: str = "mse", reduction: str = "mean") -> Dense:
    """Return the dense truth about `problem(name, loss, reduction)`."""
    num_outputs = 1 if name == "one output" else NUM_OUTPUTS
    return dense(network(name), *data(loss, num_outputs), loss, reduction)


def layer_slices(name: str) -> dict[str, slice]:
    """Return the place in theta of the free parameters of each module of a named network."""
    ends = list(accumulate(LAYER_SIZES[name].values(), initial=0))
    return {layer: slice(*part) for layer, part in zip(LAYER_SIZES[name], pairwise(ends), strict=True)}


def fitted(off: float = 0.0) -> Problem:
    """Return a student equal to its teacher, hidden neurons permuted and rescaled; one target is `off` from f."""
    teacher = network("relu")
    student = copy.deepcopy(teacher)
    x, _ = data("mse")
    y = teacher(x).detach()
    with torch.no_grad():
        order, scale = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([0.5, 2.0, 3.0, 0.25, 1.5], dtype=torch.float64)
        student[0].weight.copy_(scale[:, None] * teacher[0].weight[order])
        student[0].bias.copy_(scale * teacher[0].bias[order])
        student[2].weight.copy_(teacher[2].weight[:, order] / scale)
        y[0, 0] += off
    return Problem(student, (x, y), "mse")


class Called(torch.nn.Module):
    """A network that is no list of layers, so that autograd takes its products."""

    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)
