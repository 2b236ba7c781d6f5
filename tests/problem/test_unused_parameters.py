"""Parameters without part in the loss: rows and columns of H that are exactly zero, and nothing that breaks on them."""

import pytest
import torch
from torch import Tensor, nn

import scalecurv as sc
from scalecurv.measures import Extremes, Moments, Spectrum
from scalecurv.measures.evaluation import Evaluation
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.dense import dense
from tests.loops import each
from tests.networks import oracle, problem

TOKENS, WIDTH = 9, 2
NEVER = [0, 4, 8]  # tokens that no sample holds
ONCE = 7  # held by the last sample alone


class Embedded(nn.Module):
    """Tokens (N, 2) to outputs (N, 3), and a branch that no sample takes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(2 * WIDTH, 4), nn.Tanh(), nn.Linear(4, 3))
        self.aside = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        f = self.head(self.embedding(x))
        return torch.where(x[:, :1] < 0, f * self.aside(x.to(f.dtype)), f)


def embedded(**options: object) -> tuple[Problem, nn.Module]:
    rng = torch.Generator().manual_seed(3)
    tokens = torch.tensor([1, 2, 3, 5, 6])[torch.randint(5, (10, 2), generator=rng)]
    tokens[-1, 1] = ONCE
    y = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Embedded().double()
    return Problem(model, (tokens, y), "mse", **options), model


def unused(point: Problem) -> Tensor:
    """Which entries of theta take no part."""
    mask = torch.zeros(point.num_params, dtype=torch.bool)
    slices = point.space.slices
    rows = mask[slices["embedding.weight"]].view(TOKENS, WIDTH)
    rows[NEVER] = True
    mask[slices["aside.weight"]] = mask[slices["aside.bias"]] = True
    return mask


@each(batch_size=[None, 3], dtype=[torch.float32, torch.float64])
def test_rows_columns_and_slope_are_exactly_zero(batch_size: int | None, dtype: torch.dtype) -> None:
    point, _ = embedded(batch_size=batch_size, dtype=dtype)
    idle = unused(point)
    H = HessianOperator(point).matmat(torch.eye(point.num_params, dtype=dtype))
    zero = torch.zeros((), dtype=dtype)
    assert torch.equal(H[idle], zero.expand(int(idle.sum()), len(H)))
    assert torch.equal(H[:, idle], zero.expand(len(H), int(idle.sum())))
    gradient = loss_and_gradient(point)[1]
    assert torch.equal(gradient[idle], zero.expand(int(idle.sum())))
    assert bool((gradient[~idle] != 0).all())
    assert bool((H[~idle] != 0).any(1).all())


@each(batch_size=[None, 3])
def test_what_one_sample_uses_counts(batch_size: int | None) -> None:
    point, model = embedded(batch_size=batch_size)
    truth = dense(model, point.x, point.y, "mse")
    H = HessianOperator(point).matmat(torch.eye(point.num_params))
    torch.testing.assert_close(H, truth.hessian, rtol=0, atol=1e-12 * float(truth.hessian.norm()))
    torch.testing.assert_close(loss_and_gradient(point)[1], truth.gradient, rtol=1e-12, atol=1e-12)
    start = point.space.slices["embedding.weight"].start + ONCE * WIDTH
    assert bool((H[start : start + WIDTH] != 0).any(1).all())


def test_a_parameter_without_part() -> None:
    H = HessianOperator(problem("partly", batch_size=3)).matmat(torch.eye(72))
    assert torch.equal(H[:3], torch.zeros(3, 72, dtype=torch.float64))
    assert torch.equal(H[:, :3], torch.zeros(72, 3, dtype=torch.float64))
    gradient = loss_and_gradient(problem("partly", batch_size=3))[1]
    assert torch.equal(gradient[:3], torch.zeros(3, dtype=torch.float64))
    assert gradient[3:].any()


@each(which=["partly", "embedded"])
def test_trace_and_lanczos_do_not_break(which: str) -> None:
    point, truth = problem("partly"), oracle("partly").hessian
    if which == "embedded":
        point, model = embedded()
        truth = dense(model, point.x, point.y, "mse").hessian
    eigenvalues = torch.linalg.eigvalsh(truth)
    evaluation = Evaluation(point)
    top = Extremes(0.01, 500).compute(evaluation).estimates["lambda_max"]
    assert top.lower <= float(eigenvalues[-1]) * (1 + 1e-12)
    assert top.upper >= float(eigenvalues[-1]) * (1 - 1e-12)
    assert top.value == pytest.approx(float(eigenvalues[-1]), rel=0.01)
    trace = Moments(0.05, 2000).compute(evaluation).estimates["trace"]
    assert trace.value == pytest.approx(float(eigenvalues.sum()), rel=0.2)
    assert sc.functional_rank(point).value <= point.num_params - (3 if which == "partly" else 9)
    Spectrum(100).compute(evaluation)
