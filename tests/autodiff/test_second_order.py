"""Each replacement against what it replaces: the same value and gradient, and a Hessian that is its derivative."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.errors import CheckpointError
from tests.loops import each

Function = Callable[[Tensor], Tensor]
Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.tensor([2, 0, 5, 1])
SETS = torch.tensor([[3, 0, -1, 1, 2, 4], [5, -1, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5], [-1, 1, 1, 1, 1, 1]])
WEIGHT = torch.tensor([0.3, 1.1, 0.7, 0.9, 2.0, 0.1], dtype=torch.float64)
REDUCTIONS = ("none", "mean", "sum")

OPERATIONS: dict[str, Function] = {
    "hardsigmoid": lambda z: F.hardsigmoid(3 * z),
    "hardsigmoid inplace": lambda z: F.hardsigmoid(3 * z, inplace=True),
    "hardsigmoid of torch": lambda z: torch._C._nn.hardsigmoid(3 * z),
    "hardsigmoid_": lambda z: torch._C._nn.hardsigmoid_(3 * z),
    "nn.Hardsigmoid": lambda z: nn.Hardsigmoid()(z),
    "rrelu": lambda z: F.rrelu(z, 0.1, 0.4),
    "rrelu inplace": lambda z: F.rrelu(z * 1, 0.1, 0.4, False, True),
    "torch.rrelu": lambda z: torch.rrelu(z, 0.1, 0.4),
    "torch.rrelu_": lambda z: torch.rrelu_(z * 1),
    "nn.RReLU": lambda z: nn.RReLU().eval()(z),
    **{f"cdist {p}": lambda z, p=p: torch.cdist(z[:3], z[1:], p) for p in (0.5, 1.0, 1.5, 2.0, 2.5, 4.0, torch.inf)},
    "cdist batched": lambda z: torch.cdist(z.reshape(2, 4, 3), z.reshape(2, 4, 3)[:1, :2]),
    "cdist by matmul": lambda z: torch.cdist(z[:2], z[2:], compute_mode="use_mm_for_euclid_dist"),
    **{f"pdist {p}": lambda z, p=p: F.pdist(z, p) for p in (1.0, 2.0, 3.0)},
    **{
        f"multi_margin {p} {r}": lambda z, p=p, r=r: F.multi_margin_loss(z, LABELS, p, 0.8, WEIGHT, reduction=r)
        for p, r in product((1, 2), REDUCTIONS)
    },
    "multi_margin of one": lambda z: F.multi_margin_loss(z[0], LABELS[0]),
    **{f"multilabel_margin {r}": lambda z, r=r: F.multilabel_margin_loss(z, SETS, reduction=r) for r in REDUCTIONS},
    "multilabel_margin of one": lambda z: F.multilabel_margin_loss(z[0], SETS[0]),
    **{
        f"weight_norm {dim}": lambda z, dim=dim: torch._weight_norm(z, torch.norm_except_dim(Z, 2, dim) * 1.3, dim)
        for dim in (0, 1, -1)
    },
    "weight_norm of images": lambda z: torch._weight_norm(z.reshape(2, 3, 4), z[:2, :1, None].contiguous(), 0),
    "weight_norm inner": lambda z: torch._weight_norm(z.reshape(2, 3, 4), z[None, :3, :1].contiguous(), 1),
    "weight_norm of a vector": lambda z: torch._weight_norm(z[0], z[1], 0),
    "weight_norm_interface": lambda z: torch.cat(
        [torch._weight_norm_interface(z, z[:, :1].contiguous(), 0)[0], z.sin()]
    ),
}


def derivatives(f: Function, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value, gradient and Hessian of sum w f(z) for fixed w, by autograd."""
    z = z.clone().requires_grad_()
    value = f(z)
    g = torch.autograd.grad(weighted(value), z, create_graph=True)[0].reshape(-1)
    ties = g + 0 * z.sum()  # a gradient that is constant still has a graph
    H = torch.stack([torch.autograd.grad(g_i, z, retain_graph=True)[0].reshape(-1) for g_i in ties])
    return value.detach(), g.detach(), H


def weighted(value: Tensor) -> Tensor:
    return (value * torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).view_as(value)).sum()


def gradient(f: Function, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    return torch.autograd.grad(weighted(f(z)), z)[0].reshape(-1)


def differences(f: Function, z: Tensor, h: float = 1e-5) -> Tensor:
    """The Hessian by central differences of torch's own gradient."""
    moves = h * torch.eye(z.numel(), dtype=z.dtype).reshape(-1, *z.shape)
    return torch.stack([(gradient(f, z + d) - gradient(f, z - d)) / (2 * h) for d in moves])


def wrong(cases: Iterable[tuple[str, Function, Tensor]]) -> list[str]:
    """Where value, gradient or Hessian within the context are not those of torch's function outside of it."""
    found = []
    for name, f, z in cases:
        with twice_differentiable():
            value, g, H = derivatives(f, z)
        slope = 1e-7 if "ardsigmoid" in name else 1e-12  # torch rounds this slope, 1/6, to float32
        D, size = differences(f, z), 1 + H.abs().max()
        errors = {
            "value": ((value - f(z.clone())).abs().max(), 1e-14 * (1 + value.abs().max())),
            "gradient": ((g - gradient(f, z)).abs().max(), slope * (1 + g.abs().max())),
            "asymmetry": ((H - H.T).abs().max(), 1e-12 * size),
            "Hessian": ((H - D).abs().max(), 1e-6 * size),
        }
        found += [f"{name}: {what} {error:.1e}" for what, (error, bound) in errors.items() if not error <= bound]
    return found


def test_operations_keep_their_values_and_gradients_and_get_a_hessian() -> None:
    assert not wrong((name, f, Z) for name, f in OPERATIONS.items())


def test_bags_of_every_form() -> None:
    table, flat = Z.reshape(8, 3), torch.tensor([1, 4, 4, 7, 0, 2, 7, 5])
    cases: list[tuple[str, Function, Tensor]] = []
    for mode, padding in product(("sum", "mean", "max"), (None, 4, -1)):
        options: dict[str, Any] = {"mode": mode, "padding_idx": padding}
        offsets = {"offsets": torch.tensor([0, 3, 3, 7])}
        ends = {"offsets": torch.tensor([0, 2, 2, 8]), "include_last_offset": True}
        cases += [
            (f"{options} {form}", lambda z, a=indices, o=options | form: F.embedding_bag(a, z, **o), table)
            for indices, form in ((flat.reshape(2, 4), {}), (flat, offsets), (flat, ends))
        ]
        if mode == "sum":
            cases += [
                (
                    f"weighted {options} {form}",
                    lambda z, a=indices, o=options | form: F.embedding_bag(
                        a, z, per_sample_weights=z.reshape(-1)[:8].view_as(a), **o
                    ),
                    table,
                )
                for indices, form in ((flat.reshape(2, 4), {}), (flat, offsets), (flat, ends))
            ]
    assert not wrong(cases)


def test_ctc_behind_a_softmax() -> None:
    scores = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    lengths, counts = torch.tensor([3, 2, 3]), torch.tensor([2, 1, 0])
    several, joined = torch.tensor([[1, 1], [3, -1], [-1, -1]]), torch.tensor([1, 2, 3])
    cases: list[tuple[str, Function, Tensor]] = []
    for r in REDUCTIONS:
        cases += [
            (
                f"padded {r}",
                lambda z, r=r: F.ctc_loss(z.log_softmax(2), several.clamp(0), lengths, counts, 0, r),
                scores,
            ),
            (f"joined {r}", lambda z, r=r: F.ctc_loss(z.log_softmax(2), joined, lengths, counts, 0, r), scores),
            (f"one {r}", lambda z, r=r: F.ctc_loss(z[:, 0].log_softmax(1), joined[1:], (3,), (2,), 0, r), scores),
        ]
    assert not wrong(cases)
    with twice_differentiable():
        impossible = F.ctc_loss(scores.log_softmax(2)[:2], several.clamp(0), (2, 2, 2), counts, reduction="none")
        kept = F.ctc_loss(scores.log_softmax(2)[:2], several.clamp(0), (2, 2, 2), counts, zero_infinity=True)
    assert impossible[0] == torch.inf
    assert kept == impossible[1:].div(torch.tensor([1.0, 1.0])).sum() / 3


@each(dim=[0, 1, -1, None])
def test_weight_norm_has_the_hessian_of_its_primitives(dim: int | None) -> None:
    torch.manual_seed(0)
    shapes = {
        "linear": (nn.Linear(3, 4), Z[:, :3]),
        "conv": (nn.Conv2d(2, 3, 2), Z[:, :8].repeat(1, 3).reshape(4, 2, 3, 3)),
    }
    for layer, x in shapes.values():
        normed = parametrizations.weight_norm(layer.double(), dim=dim)
        g, v = normed.parametrizations.weight.original0.detach(), normed.parametrizations.weight.original1.detach()
        theta = torch.cat([g.reshape(-1) + 0.3, v.reshape(-1)])
        axes = [a for a in range(v.ndim) if dim in (None, -1) or a != dim % v.ndim]

        def by_hand(t: Tensor, g: Tensor = g, v: Tensor = v, axes: list[int] = axes) -> Tensor:
            a, b = t[: g.numel()].view_as(g), t[g.numel() :].view_as(v)
            return a * b / b.pow(2).sum(axes, keepdim=True).pow(0.5)

        def of_module(t: Tensor, g: Tensor = g, v: Tensor = v, normed: Any = normed) -> Tensor:
            return normed.parametrizations.weight[0](t[: g.numel()].view_as(g), t[g.numel() :].view_as(v))

        apply = F.linear if x.ndim == 2 else F.conv2d
        with twice_differentiable():
            _, slope, H = derivatives(lambda t: apply(x, of_module(t)).tanh(), theta)  # noqa: B023
        _, expected, truth = derivatives(lambda t: apply(x, by_hand(t)).tanh(), theta)  # noqa: B023
        assert (slope - expected).abs().max() <= 1e-12 * expected.abs().max()
        assert (H - truth).abs().max() <= 1e-12 * truth.abs().max()


def test_an_optimizer_s_wishes_change_no_derivative() -> None:
    table, x = Z.reshape(8, 3), torch.tensor([[1, 1], [7, 2]])
    _, g, H = derivatives(lambda z: z[x].sin(), table)
    for options in ({"sparse": True}, {"scale_grad_by_freq": True}, {"max_norm": 1e3}):
        with twice_differentiable():
            got = derivatives(lambda z: F.embedding(x, z, **options).sin(), table)  # noqa: B023
            if "max_norm" not in options:
                got_too = derivatives(lambda z: torch.embedding(z, x, **options).sin(), table)  # noqa: B023
                assert torch.equal(got_too[1], g), options
            bag = derivatives(lambda z: F.embedding_bag(x[:, :1], z, **options).sin(), table)  # noqa: B023
        assert torch.equal(got[1], g), options
        assert torch.equal(got[2], H), options
        assert torch.equal(bag[0], table[x[:, 0]].sin()), options


def test_max_norm_never_writes_to_the_weights() -> None:
    table, before = Z.reshape(8, 3).clone(), Z.reshape(8, 3).clone()
    short = table.norm(dim=1) <= 1.5
    assert 0 < short.sum() < 8
    inside, outside = short.nonzero().T, (~short).nonzero().T
    with twice_differentiable():
        assert torch.equal(F.embedding(inside, table, max_norm=1.5), before[inside])
        for lookup in (F.embedding, F.embedding_bag):
            with pytest.raises(CheckpointError, match=r"max_norm=1\.5 looks up rows that are longer.*one forward pass"):
                lookup(outside, table, max_norm=1.5)
    assert torch.equal(table, before)
