"""Networks drawn operation by operation: none of their tensors is called affine in which an output bends."""

from collections import Counter
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv import Problem
from scalecurv.affine.recognise import affine_tensors
from tests.affine.test_recognise import bends

WIDTH, NUM_DATA = 3, 5
Operation = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]


def view_written(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Write one array into the transpose of a copy of another, and scale a slice."""
    out = a.clone()
    out.T[1:].copy_(b.T[:2])
    out[:, :1] *= w["v"][0]
    return out


def shared(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Make a smooth function of one view of an array, and return another view."""
    out = a.clone()
    out.view(-1)[::2].tanh_()
    return out + b


def put(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    return torch.zeros_like(a).index_put((torch.arange(len(a)).flip(0),), b) + a


def masked_put(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    out = a.clone()
    out[b > 0.3] = 0.5
    return out


def pooled(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    return F.max_pool1d(torch.cat([a, b], 1)[:, None], 2)[:, 0]


def attended(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    return F.scaled_dot_product_attention(a[:, :, None], b[:, :, None], (a @ w["V"])[:, :, None])[..., 0]


def batch_normed(a: Tensor, b: Tensor, w: dict[str, Tensor]) -> Tensor:
    return F.batch_norm(a, torch.full((3,), 0.1).to(a), torch.full((3,), 0.7).to(a), w["g"], w["u"])


OPERATIONS: dict[str, Operation] = {
    "linear": lambda a, b, w: F.linear(a, w["A"], w["u"]),
    "other linear": lambda a, b, w: F.linear(b, w["V"]),
    "the same by matmul": lambda a, b, w: a @ w["A"].T,
    "conv": lambda a, b, w: F.conv1d(a[:, None], w["k"][None, None], padding=1)[:, 0],
    "shift": lambda a, b, w: a - w["u"],
    "scale": lambda a, b, w: a * w["g"],
    "prelu": lambda a, b, w: F.prelu(a, w["v"]),
    "parameter alone": lambda a, b, w: a + w["u"] * w["v"],
    "lookup": lambda a, b, w: F.embedding(a.argmax(1), w["V"]) + b,
    "sum": lambda a, b, w: a + b,
    "product": lambda a, b, w: a * b,
    "product with a mask": lambda a, b, w: a * (b > 0),
    "quotient": lambda a, b, w: a / (1.5 + b.abs()),
    "where": lambda a, b, w: torch.where(a > b, a, -b),
    "maximum": lambda a, b, w: torch.maximum(a, b),
    "relu": lambda a, b, w: a.relu(),
    "relu in place": lambda a, b, w: (a * 2.0).relu_(),
    "clamp": lambda a, b, w: a.clamp(-0.5, 0.8),
    "absolute": lambda a, b, w: a.abs(),
    "sort": lambda a, b, w: a.sort(1).values,
    "top": lambda a, b, w: a.topk(1, 1).values + b,
    "flip": lambda a, b, w: a.flip(1),
    "columns": lambda a, b, w: torch.cat([a[:, 1:], b[:, :1]], 1),
    "gather": lambda a, b, w: a.gather(1, b.argsort(1)),
    "scatter": lambda a, b, w: torch.zeros_like(a).scatter_add(1, b.argsort(1).clamp(max=1), a),
    "mean": lambda a, b, w: b - a.mean(1, keepdim=True),
    "running sum": lambda a, b, w: a.cumsum(1),
    "stored": put,
    "masked": masked_put,
    "views": view_written,
    "shared views": shared,
    "pool": pooled,
    "batch norm": batch_normed,
    "layer norm": lambda a, b, w: F.layer_norm(a, (3,), w["g"], w["u"], 0.1),
    "tanh": lambda a, b, w: a.tanh(),
    "square": lambda a, b, w: a.square() / 4,
    "attention": attended,
    "detached": lambda a, b, w: a + b.detach(),
}


class Drawn(nn.Module):
    """Operations in order, each on two of the arrays that are there; the outputs are the sum of the last three."""

    def __init__(self, steps: list[tuple[str, int, int]]):
        super().__init__()
        self.steps = steps
        shapes = {"A": (3, 3), "V": (3, 3), "u": (3,), "v": (3,), "g": (3,), "k": (3,)}
        rng = torch.Generator().manual_seed(11)
        self.w = nn.ParameterDict(
            {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        arrays = [x, x @ self.w["A"] + self.w["u"], x @ self.w["V"]]
        for name, i, j in self.steps:
            arrays.append(OPERATIONS[name](arrays[-1 - i % 3], arrays[-1 - j % len(arrays)], self.w))
        return arrays[-1] + arrays[-2] + arrays[-3]


def reaching(problem: Problem) -> set[str]:
    """Return the names of the tensors in which some output has a first derivative."""
    theta = problem.theta.detach().requires_grad_()
    f = problem.outputs(theta, problem.x)
    if not f.requires_grad:
        return set()
    (slope,) = torch.autograd.grad((f * torch.arange(1.0, 4.0)).sum(), theta)
    return {name for name, part in problem.space.slices.items() if bool(slope[part].any())}


STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 2), st.integers(0, 5)), min_size=3, max_size=8
)
X = torch.randn(NUM_DATA, WIDTH, generator=torch.Generator().manual_seed(12), dtype=torch.float64)


def test_no_tensor_of_400_random_networks_is_falsely_affine() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=400, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def look(steps: list[tuple[str, int, int]]) -> None:
        problem = Problem(Drawn(steps), (X, torch.zeros(NUM_DATA, WIDTH, dtype=torch.float64)), "mse")
        affine, bent = affine_tensors(problem), bends(problem)
        assert not affine & bent, steps
        seen.update(networks=1, affine=len(affine), straight=len(problem.space.shapes) - len(bent), bent=len(bent))

    look()
    assert seen["networks"] >= 400
    assert seen["affine"] > 0.6 * seen["straight"] > 600  # nor are most of the others held back
    assert seen["bent"] > 300
