"""What comes into each hidden neuron and what goes out of it, and the balance that gradient flow conserves."""

import pytest
import torch

from scalecurv.measures.rescaling import in_and_out
from scalecurv.mlp.trace import exact_diagonal
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.mlp.test_rescaling import masks
from tests.piecewise import Case, close, homogeneous, opened, truth

SHAPES = ("one output", "two hidden", "no biases", "some biases")
CASES = homogeneous(*SHAPES)


@each(shape=[*SHAPES, "deep", "wide"])
def test_sums_over_each_neuron(shape: str) -> None:
    """Weights and bias into it, weights out of it: of any numbers that belong to the parameters."""
    problem, mlp = opened(Case(shape, "mse"))
    numbers = torch.randn(problem.num_params, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    coming, going = in_and_out(mlp, problem.space.unflatten(numbers))
    assert coming.shape == going.shape == (mlp.num_hidden,)
    close(coming, torch.stack([numbers @ mask for mask, _ in masks(problem)]))
    close(going, torch.stack([numbers @ mask for _, mask in masks(problem)]))


def test_counted_by_hand() -> None:
    """Ones: n_(l-1) weights and a bias come in, n_(l+1) weights go out."""
    for shape, coming, going in (
        ("some biases", [4] * 5 + [6] * 3, [3] * 5 + [2] * 3),  # a bias in the second of three layers alone
        ("two hidden", [7] * 5 + [6] * 4, [4] * 5 + [3] * 4),
    ):
        problem, mlp = opened(Case(shape, "mse"))
        found = in_and_out(mlp, problem.space.unflatten(torch.ones(problem.num_params)))
        assert [t.tolist() for t in found] == [coming, going]


@pytest.mark.parametrize("shape", ["one layer", "one layer, no bias"])
def test_without_hidden_neurons(shape: str) -> None:
    problem, mlp = opened(Case(shape, "mse"))
    assert [t.shape for t in in_and_out(mlp, problem.space.unflatten(problem.theta))] == [(0,), (0,)]


@each(case=CASES, rate=[0.01, 0.7])
def test_one_step_of_gradient_descent(case: Case, rate: float) -> None:
    """in - out of theta^2 changes by rate^2 (in - out) of g^2, to rounding."""
    problem, mlp = opened(case)
    g = loss_and_gradient(problem)[1]

    def balance(theta: torch.Tensor) -> torch.Tensor:
        return torch.sub(*in_and_out(mlp, problem.space.unflatten(theta**2)))

    after = problem.theta - rate * g
    size = float((problem.theta**2).sum() + (after**2).sum())
    close(balance(after) - balance(problem.theta), rate**2 * balance(g), size)


@each(case=CASES)
def test_shares_of_the_trace(case: Case) -> None:
    """Of diag H what each neuron has on either side."""
    problem, mlp = opened(case)
    coming, going = in_and_out(mlp, exact_diagonal(problem, mlp))
    diagonal = truth(case).hessian.diag()
    close(coming, torch.stack([diagonal @ mask for mask, _ in masks(problem)]), float(diagonal.sum()))
    close(going, torch.stack([diagonal @ mask for _, mask in masks(problem)]), float(diagonal.sum()))
