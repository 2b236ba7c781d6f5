"""What is said of each operation: where it is called linear the second derivative is zero, and it is seen as such."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv import Problem
from scalecurv.affine.operations import RULES
from scalecurv.affine.recognise import affine_tensors
from tests.affine.test_recognise import bends
from tests.zoo import SERVED

ROWS, WIDTH = 4, 6
X = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(21), dtype=torch.float64)
INDEX = torch.tensor([[0, 2, 2], [1, 0, 1], [3, 3, 0], [2, 1, 3]])
EYE = torch.eye(WIDTH, dtype=torch.float64)


def image(z: Tensor) -> Tensor:
    return z.reshape(len(z), 1, 2, 3)


def in_place(z: Tensor) -> Tensor:
    out = z.clone().unsqueeze(0)
    out.squeeze_().mul_(2.0).add_(z).clamp_(max=3.0)
    out[:, 1] = z[:, 0] - z[:, 2]
    return out.masked_fill_(out > 2.5, 0.5)


def sampled(z: Tensor) -> Tensor:
    grid = torch.linspace(-0.9, 0.9, 8, dtype=z.dtype).reshape(1, 2, 2, 2).expand(len(z), -1, -1, -1)
    return F.grid_sample(image(z), grid, align_corners=False)


def places(z: Tensor) -> Tensor:
    return F.grid_sample(image(EYE[:1]).expand(len(z), -1, -1, -1), 0.3 * z.reshape(-1, 1, 3, 2), align_corners=False)


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda z: 2.0 * z - z.mean(1, keepdim=True) + 1.0 - (-z / 3.0),
    "cumulative": lambda z: z.cumsum(1).diff(dim=1),
    "choices": lambda z: torch.where(z > 0.2, z, -z).maximum(z.flip(1)).clamp(-1.5, 1.2),
    "extremes": lambda z: z.amax(1, True) - z.max(1).values[:, None] + z.cummax(1).values + z.median(1).values[:, None],
    "order": lambda z: z.sort(1).values - z.topk(2, 1).values.sum(1, keepdim=True) + z.kthvalue(3, 1, True).values,
    "activations": lambda z: F.hardshrink(z) + F.softshrink(z) + F.threshold(z, 0.1, 0.3) + F.relu6(z) + F.rrelu(z),
    "hardsigmoid": lambda z: F.hardsigmoid(z) + F.hardtanh(z, -0.3, 0.4) + F.leaky_relu(z, 0.2) + z.abs(),
    "gather": lambda z: z.gather(1, INDEX[: len(z)]) + z.index_select(1, INDEX[0]) + z[:, INDEX[0]],
    "scatter": lambda z: torch.zeros_like(z).scatter_add(1, INDEX[: len(z)], z[:, :3]).scatter(1, INDEX[: len(z)], 1.0),
    "index": lambda z: (
        z.index_add(1, INDEX[0], z[:, :3]).index_fill(1, INDEX[1], 0.5).index_copy(1, INDEX[2, :1], z[:, :1])
    ),
    "put": lambda z: torch.zeros_like(z.T).index_put((INDEX[:, 0],), z.T[:4], accumulate=True).T,
    "shapes": lambda z: torch.stack([z, z.roll(1, 1)], 1).repeat(1, 2, 1).transpose(1, 2).unfold(1, 2, 2).flatten(1),
    "triangles": lambda z: torch.diag_embed(z).tril().triu(-1).diagonal(0, 1, 2) + torch.block_diag(z)[:, :WIDTH],
    "pools": lambda z: F.max_pool2d(image(z), 2, 1).flatten(1) + F.avg_pool2d(image(z), 2, 1).flatten(1),
    "adaptive": lambda z: F.adaptive_avg_pool2d(image(z), (1, 2)) + F.adaptive_max_pool2d(image(z), (1, 2)),
    "unpooled": lambda z: F.max_unpool1d(*F.max_pool1d(z[:, None], 2, return_indices=True), 2)[:, 0],
    "folds": lambda z: F.fold(F.unfold(image(z), 2), (2, 3), 2).flatten(1),
    "padded": lambda z: F.pad(image(z), (1, 1, 1, 1), "reflect") + F.pad(image(z), (1, 1, 1, 1), "replicate"),
    "sizes": lambda z: F.interpolate(image(z), scale_factor=2, mode="bilinear") - F.interpolate(image(z), (4, 6)),
    "shuffled": lambda z: F.pixel_unshuffle(F.pixel_shuffle(z.reshape(len(z), 6, 1, 1)[:, :4], 2), 2),
    "spectrum": lambda z: torch.fft.irfft(torch.fft.rfft(z) * torch.exp(1j * torch.arange(4.0).double()), n=WIDTH),
    "complex": lambda z: torch.view_as_real(torch.complex(z, z.roll(1, 1)).conj().resolve_conj()),
    "products with constants": lambda z: torch.einsum("ij,jk->ik", z @ EYE, EYE) + torch.addmm(z, z, EYE, beta=0.5),
    "written": in_place,
    "convolved": lambda z: (
        F.conv1d(z[:, None], EYE[None, :1, :3]) + F.conv_transpose1d(z[:, None], EYE[:1, :1, None])[..., 1:5]
    ),
    "batch norm": lambda z: F.batch_norm(z, EYE[0], EYE[1] + 1.0, EYE[2], EYE[3]),
    "rounded": lambda z: z + z.round() - z.floor() + z.sign(),
    "sampled": sampled,
    "mapped": torch.func.vmap(lambda row: row.outer(row.new_ones(2)).flatten()),
    "other numbers": lambda z: z.float().double() + (z > 0).double(),
}
SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda z: z * z.roll(1, 1),
    "product in place": lambda z: z.clone().mul_(z),
    "several in place": lambda z: (out := z.clone(), torch._foreach_mul_([out], [z]))[0],
    "dot": lambda z: torch.stack([row.dot(row.flip(0)) for row in z]),
    "matrices": lambda z: z.reshape(-1, 2, 3) @ z.reshape(-1, 3, 2),
    "addmm": lambda z: torch.addmm(z, z[:, :2], z[:2]),
    "addcmul": lambda z: torch.addcmul(z, z, z.roll(1, 1)),
    "convolved with itself": lambda z: F.conv1d(z[:1], z[:1, None, :3]).expand(len(z), -1),
    "quotient": lambda z: EYE[0] / (z.abs() + 1.0),
    "divided in place": lambda z: torch.ones_like(z).div_(z.abs() + 1.0),
    "norm": lambda z: F.layer_norm(z, (WIDTH,)),
    "batch norm of the batch": lambda z: F.instance_norm(z[:, None]),
    "places": places,
    "length of complex numbers": lambda z: torch.complex(z, z.roll(1, 1) * 2.0).abs(),
    "interpolated": lambda z: torch.lerp(z, 2.0 * z, z.roll(1, 1)),
    "prelu": lambda z: F.prelu(z, z[0, :1]),
}


class Applied(nn.Module):
    """An operation on what a linear layer makes of x."""

    def __init__(self, operation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.linear, self.operation = nn.Linear(3, WIDTH), operation

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(self.linear(x)).reshape(len(x), -1)


def applied(operation: Callable[[Tensor], Tensor]) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(22)
        model = Applied(operation).double()
        width = model(X).reshape(ROWS, -1).shape[1]
    return Problem(model, (X, torch.zeros(ROWS, width, dtype=torch.float64)), "mse")


def test_linear_operations_are_called_linear_and_are() -> None:
    for name, operation in LINEAR.items():
        problem = applied(operation)
        assert bends(problem) == set(), name
        assert affine_tensors(problem) == {"linear.weight", "linear.bias"}, name


def test_smooth_operations_are_not_called_linear() -> None:
    for name, operation in SMOOTH.items():
        problem = applied(operation)
        assert affine_tensors(problem) == frozenset(), name
        assert bends(problem), name


@pytest.mark.filterwarnings("ignore")  # torch's own, as in the tests of the zoo
def test_no_network_of_the_zoo_is_falsely_affine() -> None:
    for name, make in SERVED.items():
        model, x, width = make()
        problem = Problem(model, (x, torch.zeros(len(x), width, dtype=torch.float64)), "mse")
        assert not affine_tensors(problem) & bends(problem), name


def test_every_rule_is_of_an_operation_with_arguments_of_these_names() -> None:
    for name, rule in RULES.items():
        packet = getattr(torch.ops.aten, name)
        overloads = [getattr(packet, overload) for overload in packet.overloads()]
        named = [{argument.name for argument in overload._schema.arguments} for overload in overloads]
        assert any(names >= {*rule.factors, *rule.curved} for names in named), name
