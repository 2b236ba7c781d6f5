"""Products with H, G and J of every kind of network against matrices written out, and the outputs they rest on."""

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from jobs.models import CNN, SIDE, Transformer
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.dense import Dense, dense_at
from tests.loops import each

NUM_DATA, TOKENS, WORDS, WIDTH = 5, 4, 6, 4


class Attention(nn.Module):
    """Self-attention of TOKENS tokens of WIDTH numbers, by the module or by the function itself."""

    def __init__(self, by_hand: bool):
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH) if by_hand else nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Linear(TOKENS * WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (TOKENS, WIDTH))
        if isinstance(self.mix, nn.Linear):
            q, k, v = self.mix(x).chunk(3, dim=-1)
            return self.head(functional.scaled_dot_product_attention(q, k, v, is_causal=True).flatten(1))
        return self.head(self.mix(x, x, x, need_weights=False)[0].flatten(1))


class NextToken(nn.Module):
    """Words to the scores of the next one; the embedding is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.embed.weight
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=self.embed.weight.dtype)
        return self.head(self.block(self.embed(x), src_mask=mask, is_causal=True)[:, -1])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, 16)) for _ in range(2))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def frozen() -> nn.Module:
    """All but the head and one norm of an encoder held fixed, as in fine-tuning."""
    model = Transformer(width=4)
    model.requires_grad_(False)
    for part in (model.head, model.encoder.norm2):
        part.requires_grad_(True)
    return model


def normed(norm: Callable[[], nn.Module], *shape: int) -> Callable[[], nn.Module]:
    """A normalization between two layers, and a bend behind it."""
    return lambda: nn.Sequential(
        nn.Linear(16, 8), nn.Unflatten(1, shape), norm(), nn.Flatten(), nn.Tanh(), nn.Linear(8, 3)
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and numbers a sample, 0 for words
    "cnn": (CNN, SIDE**2),
    "transformer": (lambda: Transformer(width=4), SIDE**2),
    "two layers": (lambda: nn.Sequential(Transformer(width=4), nn.LayerNorm(10), nn.Linear(10, 3)), SIDE**2),
    "multihead attention": (lambda: Attention(by_hand=False), 16),
    "attention by hand": (lambda: Attention(by_hand=True), 16),
    "next token, tied": (NextToken, 0),
    "residual": (Residual, 16),
    "frozen": (frozen, SIDE**2),
    "layer norm": (normed(lambda: nn.LayerNorm(8), 8), 16),
    "group norm": (normed(lambda: nn.GroupNorm(2, 4), 4, 2), 16),
    "instance norm": (normed(lambda: nn.InstanceNorm1d(2, affine=True), 2, 4), 16),
    "rms norm": (normed(lambda: nn.RMSNorm(8), 8), 16),
    "batch norm": (normed(lambda: nn.BatchNorm1d(8), 8), 16),
}


@cache
def network(name: str) -> nn.Module:
    """In eval mode and float64, every number in it moved, statistics too, so that none is 0 or 1 by default."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NETWORKS[name][0]().double().eval()
        with torch.no_grad():
            for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
                tensor.add_(torch.rand_like(tensor) / 3)
    return model


@cache
def problem(name: str, loss: str, batch_size: int | None = None) -> Problem:
    width, rng = NETWORKS[name][1], torch.Generator().manual_seed(1)
    x = torch.randn(NUM_DATA, width, generator=rng, dtype=torch.float64)
    words = torch.randint(WORDS, (NUM_DATA, TOKENS), generator=rng)
    y = torch.randint(3, (NUM_DATA,), generator=rng)
    return Problem(network(name), (x if width else words, y), loss, batch_size=batch_size)


@cache
def truth(name: str, loss: str) -> Dense:
    return dense_at(problem(name, loss))


def close(found: Tensor, expected: Tensor) -> bool:
    return float((found - expected).norm()) <= 1e-12 * float(expected.norm())


@each(("loss", "batch_size"), [("cross_entropy", 2), ("mse", None)], name=NETWORKS)
def test_against_matrices_written_out(name: str, loss: str, batch_size: int | None) -> None:
    point, expected = problem(name, loss, batch_size), truth(name, loss)
    eye = torch.eye(point.num_params)
    value, gradient = loss_and_gradient(point)
    assert value == pytest.approx(expected.loss, rel=1e-12)
    assert close(gradient, expected.gradient)
    assert close(HessianOperator(point).matmat(eye), expected.hessian)
    assert close(GaussNewtonOperator(point).matmat(eye), expected.gauss_newton)
    J = JacobianOperator(point)
    assert close(J.matmat(eye), expected.jacobian)
    assert close(J.rmatmat(torch.eye(J.shape[0])), expected.jacobian.T)


@each(name=NETWORKS)
def test_the_oracle_is_the_difference_of_gradients(name: str) -> None:
    """Along one direction, to what central differences give: nothing is differentiated twice."""
    point, expected = problem(name, "cross_entropy"), truth(name, "cross_entropy")
    rng = torch.Generator().manual_seed(2)
    direction = torch.randn(point.num_params, generator=rng, dtype=torch.float64)

    def slope(step: float) -> Tensor:
        model = copy.deepcopy(network(name))
        free = [p for p in model.parameters() if p.requires_grad]
        with torch.no_grad():
            for p, part in zip(free, direction.split([p.numel() for p in free]), strict=True):
                p.add_(step * part.view_as(p))
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(functional.cross_entropy(model(point.x), point.y), free)]
        )

    change = (slope(1e-5) - slope(-1e-5)) / 2e-5
    torch.testing.assert_close(expected.hessian @ direction, change, rtol=0, atol=1e-6 * float(change.norm()))


@each(name=NETWORKS)
def test_outputs_are_those_of_the_model_itself(name: str) -> None:
    """Whatever kernels and fast paths inference takes."""
    point = problem(name, "cross_entropy")
    with torch.no_grad():
        expected = network(name)(point.x)
    torch.testing.assert_close(point.outputs(point.theta, point.x), expected, rtol=0, atol=1e-12)


def test_tied_frozen_and_free_parameters_count_once_or_not_at_all() -> None:
    numbers = {name: problem(name, "cross_entropy").num_params for name in ("next token, tied", "frozen")}
    block = 3 * (WIDTH + 1) * WIDTH + (WIDTH + 1) * WIDTH + 2 * (WIDTH + 1) * WIDTH + 2 * 2 * WIDTH
    assert numbers == {"next token, tied": WORDS * WIDTH + block, "frozen": 10 * (4 + 1) + 2 * 4}
