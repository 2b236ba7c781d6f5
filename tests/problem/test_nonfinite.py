"""Where the first NaN or infinity is: module, sample and mini-batch, in the order of evaluation."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv.problem.nonfinite import locate_nonfinite
from scalecurv.problem.problem import Problem
from tests.breaking import Function, Masked, Residual, Second, positive, seeded, with_function
from tests.loops import each
from tests.networks import NETWORKS, data, network, problem


def test_a_weight_that_overflows_in_the_second_batch() -> None:
    model = network("relu")
    with torch.no_grad():
        model[0].weight[0].fill_(1)
        model[0].bias[0].fill_(0)
        model[2].weight[1, 0] = -1e20
    point = Problem(model, positive(17, 1e20), "mse", dtype=torch.float32, batch_size=10)
    assert locate_nonfinite(point) == "the output of module '2' (Linear) at sample 17 (batch 1)"


@pytest.mark.parametrize(("row", "place"), [(0, "0 (batch 0)"), (3, "3 (batch 1)"), (29, "29 (batch 9)")])
def test_the_log_of_a_negative(row: int, place: str) -> None:
    model = nn.Sequential(Function(torch.log), nn.Linear(6, 3).double())
    point = Problem(model, positive(row, -1.0), "mse", batch_size=3)
    assert locate_nonfinite(point) == f"the output of module '0' (Function) at sample {place}"


@pytest.mark.parametrize(
    ("where", "place"),
    [("between", "the input of module 'head' (Linear)"), ("after", "the output of the model (Residual)")],
)
def test_code_outside_of_leaves(where: str, place: str) -> None:
    model = seeded(lambda: Residual(where))
    assert locate_nonfinite(Problem(model, positive(8, -1.0), "mse", batch_size=7)) == f"{place} at sample 8 (batch 1)"
    nested = nn.Sequential(nn.Identity(), nn.ModuleDict({"block": model})["block"])
    named = place.replace("'head'", "'1.head'").replace("the model", "module '1'")
    assert locate_nonfinite(Problem(nested, positive(8, -1.0), "mse", batch_size=7)) == f"{named} at sample 8 (batch 1)"


def test_a_tuple_is_searched() -> None:
    point = Problem(seeded(Second), positive(4, 0.0), "mse")
    assert locate_nonfinite(point) == "the output of module 'pair' (Pair) at sample 4 (batch 0)"


def test_rows_that_are_no_samples_name_none() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 3), Function(lambda h: h.mT.log()), Function(lambda h: h.mT)))
    assert locate_nonfinite(Problem(model, data("mse"), "mse")) == "the output of module '1' (Function) (batch 0)"


def test_a_scalar_names_no_sample() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.total = nn.Linear(6, 3), Function(lambda h: (h.sum() * 0 - 1).log())

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) * self.total(x)

    point = Problem(seeded(Normed), data("mse"), "mse", batch_size=1)
    assert locate_nonfinite(point) == "the output of module 'total' (Function) (batch 0)"


def test_the_root_at_zero_has_a_value_and_no_slope() -> None:
    model = with_function(lambda h: h.abs().sqrt())
    with torch.no_grad():
        model[0].weight[2] = model[0].bias[2] = 0  # sqrt(0) = 0 with slope inf, times the slope 0 of |h|
    point = Problem(model, data("mse"), "mse", batch_size=3)
    assert locate_nonfinite(point) == "the gradient of parameter '0.weight' (batch 0)"
    model[0].weight.requires_grad_(False)
    assert locate_nonfinite(Problem(model, data("mse"), "mse")) == "the gradient of parameter '0.bias' (batch 0)"


def test_a_slope_can_be_infinite_and_a_number_nowhere() -> None:
    model = with_function(lambda h: torch.cat([h[:, :2], h[:, 2:3].sqrt(), h[:, 3:]], 1))
    with torch.no_grad():
        model[0].weight[2] = model[0].bias[2] = 0
    point = Problem(model, positive(0, 1.0), "mse", batch_size=1)  # of one sample: no inf - inf
    assert locate_nonfinite(point) == "the gradient of parameter '0.weight' (batch 0)"


def test_a_loss_that_overflows() -> None:
    x, y = data("mse", num_data=30)
    y[17, 1] = 1e200
    assert locate_nonfinite(Problem(network("relu"), (x, y), "mse", batch_size=8)) == "the loss at sample 17 (batch 2)"


def test_a_sum_that_overflows_where_no_loss_does() -> None:
    x, y = data("mse")
    y[2:5, 0] = 1e154  # squared 1e308 each
    point = Problem(network("relu"), (x, y), "mse", batch_size=5)
    assert locate_nonfinite(point) == "the sum of the losses (batch 0)"


@each(name=NETWORKS)
def test_nothing_is_found_where_all_is_finite(name: str) -> None:
    assert locate_nonfinite(problem(name, batch_size=3)) is None


def test_a_mask_is_no_fault() -> None:
    """Minus infinity at a class that is never the target: loss and gradient are finite."""
    forbid = Function(lambda h: h.masked_fill(torch.tensor([False, True, False]), -torch.inf))
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 3), forbid))
    targets = torch.tensor([0, 2, 0, 2, 0, 2, 0])
    assert locate_nonfinite(Problem(model, (data("mse")[0], targets), "cross_entropy")) is None


def test_nor_is_it_blamed_for_another() -> None:
    point = Problem(seeded(Masked), positive(5, -10.0, 7), "mse")
    assert locate_nonfinite(point) == "the output of module 'log' (Function) at sample 5 (batch 0)"


def test_nothing_is_left_on_the_model() -> None:
    model = nn.Sequential(Function(torch.log), nn.Linear(6, 3).double())
    point = Problem(model, positive(0, -1.0), "mse")
    assert locate_nonfinite(point) == locate_nonfinite(point)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
