"""Models whose loss is no function of the parameters alone are refused, with what to do."""

import re

import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_finite
from tests.loops import each
from tests.networks import data, network

EVAL = "call model.eval() before handing the model over"


def with_module(module: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), module, nn.Linear(4, 3)).double()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            with_module(nn.Dropout(0.1)),
            f"module '1' (Dropout) is in train mode, so the loss is random; {EVAL}",
        ),
        (
            with_module(nn.RReLU()),
            f"module '1' (RReLU) is in train mode, so the loss is random; {EVAL}",
        ),
        (
            with_module(nn.TransformerEncoderLayer(4, 2, dropout=0.1)),
            f"module '1.self_attn' (MultiheadAttention) is in train mode, so the loss is random; {EVAL}",
        ),
        (
            with_module(nn.BatchNorm1d(4)),
            f"module '1' (BatchNorm1d) is in train mode, so the loss depends on how the data is batched; {EVAL}",
        ),
        (
            with_module(nn.BatchNorm1d(4, track_running_stats=False)).eval(),
            "module '1' (BatchNorm1d) keeps no running statistics, so the loss depends on how the data is batched; "
            "train it with track_running_stats=True",
        ),
        (
            nn.DataParallel(with_module(nn.ReLU())),
            "the model is a DataParallel, which copies one to several devices; give model.module",
        ),
    ],
)
def test_what_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        Problem(model, data("mse"), "mse")


@each(module=[nn.Dropout(0.0), nn.Dropout(0.5).eval(), nn.RReLU(0.2, 0.2), nn.RReLU().eval(), nn.BatchNorm1d(4).eval()])
def test_what_is_let_through(module: nn.Module) -> None:
    model = with_module(module)
    model[1].train(module.training)
    assert Problem(model, data("mse"), "mse").num_outputs == 3


@each(bad=[torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers(bad: float) -> None:
    model = network("relu")
    with torch.no_grad():
        model[2].weight[1, 2:4] = bad
    message = "parameter '2.weight' holds 2 non-finite value(s) of 20, the first at index (1, 2); remove them first"
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        Problem(model, data("mse"), "mse")


@pytest.mark.parametrize(("name", "bad"), [("x", [(4, 5), (6, 0), (6, 1)]), ("y", [(4, 0), (5, 2), (6, 1)])])
def test_data_that_are_no_numbers(name: str, bad: list[tuple[int, int]]) -> None:
    x, y = data("mse")
    for row, column in bad:
        (x if name == "x" else y)[row, column] = torch.inf
    size = x.numel() if name == "x" else y.numel()
    message = f"{name} holds 3 non-finite value(s) of {size}, the first in sample 4; remove them first"
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        Problem(network("relu"), (x, y), "mse")


def test_a_parameter_called_x_has_no_samples() -> None:
    with pytest.raises(
        Misuse, match=r"^parameter 'x' holds 1 non-finite value\(s\) of 4, the first at index \(1, 0\); "
    ):
        check_finite({"x": torch.zeros(3), "parameter 'x'": torch.tensor([[0.0, 0], [torch.nan, 0]])})
