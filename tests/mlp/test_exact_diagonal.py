"""The diagonal of H without a Hessian product is that of the dense Hessian, entry by entry."""

import torch
from torch import Tensor, nn

from scalecurv.mlp.trace import exact_diagonal, layer_traces
from scalecurv.problem.problem import Problem
from tests.dense import dense
from tests.loops import each
from tests.piecewise import CASES, MEANS, Case, close, data, laid_open, layer_slices, network, opened, truth

SUMS = [case for case in CASES if case.reduction == "sum" and case.shape in ("one layer", "some biases", "deep")]


def diagonal(case: Case, **options: object) -> Tensor:
    problem, mlp = opened(case, **options)
    return problem.space.flatten(exact_diagonal(problem, mlp))


@each(case=[*MEANS, *SUMS])
def test_every_entry(case: Case) -> None:
    """d^2 L / dtheta_k^2, which is that of the Gauss-Newton matrix."""
    exact = truth(case)
    found = diagonal(case)
    close(found, exact.hessian.diag())
    close(found, exact.gauss_newton.diag())
    assert bool((found >= 0).all())


@each(case=MEANS[::4])
def test_by_parameter_name_and_shape(case: Case) -> None:
    """A number for each parameter, in its place; a layer's add up to its share of the trace."""
    problem, mlp = opened(case)
    parts = exact_diagonal(problem, mlp)
    assert {name: t.shape for name, t in parts.items()} == {n: p.shape for n, p in problem.model.named_parameters()}
    whole = problem.space.flatten(parts)
    close(torch.stack([whole[rows].sum() for rows in layer_slices(problem, mlp)]), layer_traces(problem, mlp))


OPTIONS = [{"memory": 1}, {"memory": 1, "batch_size": 7}, {"memory": 5_000, "batch_size": 5}, {"batch_size": 3}]


@each(shape=["one output", "some biases", "deep"], options=OPTIONS)
def test_neither_pieces_nor_mini_batches_matter(shape: str, options: dict) -> None:
    """One byte of memory leaves pieces of one sample, in batches of one or of all; those of 3 are ragged."""
    case = Case(shape, "mse", trained=True)
    close(diagonal(case, **options), truth(case).hessian.diag())


def test_images_behind_a_flatten() -> None:
    model, (x, y) = network("two hidden", "soft"), data("two hidden", "soft")
    problem, mlp = laid_open(Problem(nn.Sequential(nn.Flatten(), *model), (x.view(-1, 2, 3), y), "cross_entropy"))
    found = problem.space.flatten(exact_diagonal(problem, mlp))
    close(found, truth(Case("two hidden", "soft")).hessian.diag())


@each(batch_size=[None, 2])
def test_single_precision_is_close(batch_size: int | None) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    x, y = torch.randn(6, 3), torch.randn(6, 2)
    problem, mlp = laid_open(Problem(model, (x, y), "mse", batch_size=batch_size))
    found = problem.space.flatten(exact_diagonal(problem, mlp)).double()
    exact = dense(model.double(), x.double(), y.double(), "mse").hessian.diag()
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-7)
