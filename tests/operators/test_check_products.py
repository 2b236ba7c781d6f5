"""The products of the operators are checked by the road that they take: faults planted in a closed form are found."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError
from scalecurv.mlp.closed_form import closed_form
from scalecurv.mlp.passes import Pass, opened
from scalecurv.operators.products import check_products
from scalecurv.problem.consistency import check_derivatives
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from tests.networks import problem

NAMES = ("relu", "tanh")


class Faulty:
    """A pass whose product of one name is changed."""

    def __init__(self, made: Pass, name: str, change: Callable[[Tensor], Tensor]):
        self.made, self.outputs = made, made.outputs
        self.gradient, self.hessian, self.push, self.pull = made.gradient, made.hessian, made.push, made.pull
        product = getattr(made, name)
        setattr(self, name, lambda *given: change(product(*given)))


def first_off(product: Tensor) -> Tensor:
    """Return the product with the first half of its rows off by a tenth."""
    changed = product.clone()
    changed[: len(changed) // 2] *= 1.1
    return changed


@pytest.mark.parametrize("name", NAMES)
def test_faults_of_a_closed_form_are_found(name: str) -> None:
    point = problem(name, "cross_entropy")
    mlp = closed_form(point)
    assert mlp is not None
    check_products(point)
    lines = {
        "hessian": "H is not",  # the derivative of the gradient, or symmetric
        "push": "each other's transposes",
        "pull": "each other's transposes",
        "gradient": "H is not the derivative of the gradient|the gradient is not that of the loss",
    }
    for part, line in lines.items():

        def spoiled(at: Problem, batch: Batch, part: str = part) -> Faulty:
            return Faulty(opened(at, mlp, batch), part, first_off)

        with pytest.raises(CheckpointError, match=line):
            check_derivatives(problem(name, "cross_entropy"), spoiled)


def test_samples_are_few_where_data_is_large() -> None:
    """One in 32, at least 32 of them: the check takes a share of a gradient."""
    seen: list[int] = []
    for count in (20, 100, 3200):
        generator = torch.Generator().manual_seed(0)
        x, y = torch.randn(count, 4, generator=generator), torch.randint(0, 3, (count,), generator=generator)
        model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
        point = Problem(model, (x, y))
        mlp = closed_form(point)
        assert mlp is not None

        def counting(at: Problem, batch: Batch, mlp: object = mlp) -> Pass:
            seen.append(len(batch.x))
            return opened(at, mlp, batch)  # type: ignore[arg-type]

        check_derivatives(point, counting)
    assert sorted(set(seen)) == [20, 32, 100]
