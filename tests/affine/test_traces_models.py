"""Traces of models in which a formula would be wrong where it was trusted, and of those that need every formula."""

import torch

from scalecurv.affine.formulas import plan_of
from scalecurv.affine.single_samples import is_vectorised
from scalecurv.problem.problem import Problem
from tests.affine import unusual
from tests.affine.test_traces import agree

WORDS = (11, 6)


def problem(model: torch.nn.Module, x: torch.Tensor, loss: str = "cross_entropy", **options: object) -> Problem:
    classes = torch.randint(3, (len(x),), generator=torch.Generator().manual_seed(2))
    return Problem(model.double().eval(), (x, classes), loss, **options)


def drawn(make: object, seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()  # type: ignore[operator]


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def words() -> torch.Tensor:
    return torch.randint(7, WORDS, generator=torch.Generator().manual_seed(1))


def without_formula(point: Problem) -> set[str]:
    return point.space.shapes.keys() - plan_of(point).layouts.keys()


def test_tokens_on_either_axis_and_rows_that_are_merged() -> None:
    for batch_first in (True, False):
        point = problem(drawn(lambda first=batch_first: unusual.Language(first)), words())
        assert agree(point), batch_first
        assert without_formula(point) == set()


def test_every_option_of_a_convolution() -> None:
    point = problem(drawn(unusual.Solid), numbers(9, 2, 4, 5, 3))
    assert agree(point)
    assert without_formula(point) == set()


def test_what_a_module_does_counts_and_not_its_class() -> None:
    point = problem(drawn(unusual.Mixed), numbers(9, 4))
    assert agree(point)
    assert without_formula(point) == {"odd.weight", "square", "parts.weight", "shift"}
    point = problem(drawn(unusual.Inside), numbers(9, 4))
    assert agree(point)
    assert without_formula(point) == {"inner.weight"}
    assert not any(is_vectorised(point, ("inner.weight",), copied) for copied in (False, True))


def test_samples_that_change_places_are_found() -> None:
    """The first samples, on which formulas are tried, are in order; later ones are not."""
    x = numbers(12, 4)
    x[:4, 0] = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    point = problem(drawn(unusual.Sorted), x)
    assert without_formula(point) == set()
    assert agree(point)
    x[:4, 0] = torch.tensor([2.0, 1.0, 0.0, -1.0])
    point = problem(drawn(unusual.Sorted), x)
    assert without_formula(point) == {"inner.weight", "inner.bias"}
    assert agree(point)


def test_samples_that_a_product_moves_are_found() -> None:
    """The first samples all go to one expert, in order, and formulas agree on them; two later ones change places."""
    x = numbers(12, 4)
    x[:3, 0] = 1.0
    for model, first in ((unusual.Dispatched, 1.0), (unusual.Sorted, -9.0)):
        x[:3, 0] = torch.tensor([0.0, 0.1, 0.2]) + first
        point = problem(drawn(model), x)
        assert not any("weight" in name and "1" in name for name in without_formula(point))
        assert agree(point)
    for i in range(3, 11):  # one pair out of order, wherever it stands
        x[:, 0] = torch.arange(12.0)
        x[[i, i + 1], 0] = torch.tensor([i + 1.0, float(i)], dtype=x.dtype)
        assert agree(problem(drawn(unusual.Sorted), x)), i


def test_operands_that_are_handed_over_by_name() -> None:
    assert agree(problem(drawn(unusual.Named), numbers(9, 4)))
