"""A block is multiplied some columns at a time, and an overflow in any of them raises."""

import pytest
import torch

from scalecurv.operators.summed import by_columns
from tests.loops import each


@each(width=[1, 2, 3, 7, 100])
def test_columns_in_groups_of_at_most_the_width(width: int) -> None:
    V = torch.arange(14.0).view(2, 7)
    widths: list[int] = []

    def product(block: torch.Tensor) -> torch.Tensor:
        widths.append(block.shape[1])
        return torch.cat([block, block.sum(0, keepdim=True)])

    assert torch.equal(by_columns(V, 3, width, product), torch.cat([V, V.sum(0, keepdim=True)]))
    assert sum(widths) == 7
    assert set(widths[:-1]) <= {width}
    assert widths[-1] <= width


@each(column=[0, 4], bad=[torch.inf, torch.nan])
def test_no_number_gets_through(column: int, bad: float) -> None:
    V = torch.ones(3, 5)
    V[1, column] = bad
    message = "a product in torch.float32 is not finite; try --dtype float64, or look at the weights"
    with pytest.raises(FloatingPointError, match=f"^{message}$"):
        by_columns(V, 3, 2, lambda block: block)


def test_a_sum_that_overflows_is_no_entry_that_does() -> None:
    V = torch.full((2, 2), 3e38)
    assert torch.equal(by_columns(V, 2, 2, torch.clone), V)
