"""A point theta with its data: what it holds, what it leaves alone, and what it refuses."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, network, problem

X, Y = data("mse")
CLASSES = data("cross_entropy")[1]


def test_the_point_is_a_copy() -> None:
    model = network("relu")
    point = Problem(model, (X, Y), "mse")
    before, H = loss_and_gradient(point), HessianOperator(point).matvec(point.theta)
    with torch.no_grad():
        for p in model.parameters():
            p += 1
    assert loss_and_gradient(point)[0] == before[0]
    assert torch.equal(HessianOperator(point).matvec(point.theta), H)


def test_the_model_is_never_written_to() -> None:
    model = network("batch norm")
    state = {name: t.clone() for name, t in model.state_dict().items()}
    point = Problem(model, (X, Y), "mse", dtype=torch.float32)
    HessianOperator(point).matvec(point.theta)
    assert all(torch.equal(t, state[name]) and t.dtype == state[name].dtype for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_mini_batches_are_the_data_in_order_and_the_last_is_short() -> None:
    batches = list(problem("relu", batch_size=3).batches())
    assert [(b.start, len(b.x)) for b in batches] == [(0, 3), (3, 3), (6, 1)]
    assert torch.equal(torch.cat([b.x for b in batches]), X)
    assert torch.equal(torch.cat([b.y for b in batches]), Y)


@each(kind=[np.asarray, np.float32, torch.as_tensor])
def test_arrays_and_tensors_of_any_width(kind: type) -> None:
    point = Problem(network("relu"), (kind(X), kind(Y)), "mse")
    assert point.x.dtype == point.theta.dtype == torch.float64
    torch.testing.assert_close(point.x, X, rtol=1e-6, atol=0)


@each(dtype=[np.uint8, np.int16, np.int32, np.int64])
def test_classes_of_any_width(dtype: type) -> None:
    point = Problem(network("relu"), (X, CLASSES.numpy().astype(dtype)))
    assert torch.equal(point.y, CLASSES)


def test_classes_under_mse_are_rows_of_the_identity() -> None:
    point = Problem(network("relu"), (X, CLASSES), "mse")
    assert point.y.dtype == torch.float64  # torch.equal does not look at it
    assert torch.equal(point.y, torch.eye(3, dtype=torch.float64)[CLASSES])


def test_dtype_is_the_parameters_unless_asked() -> None:
    assert Problem(network("relu").float(), (X, Y), "mse").dtype == torch.float32
    single = problem("batch norm", dtype=torch.float32)
    assert {single.theta.dtype, single.x.dtype, single.y.dtype} == {torch.float32}
    double = single.astype(torch.float64)
    assert double.theta.dtype == double.x.dtype == double.y.dtype == torch.float64
    assert single.astype(torch.float32) is single
    assert loss_and_gradient(double)[0] == pytest.approx(loss_and_gradient(problem("batch norm"))[0], rel=1e-6)
    assert loss_and_gradient(double)[1].dtype == torch.float64


LOADED = "give a torch.nn.Module with the weights loaded: Problem(model, (x, y))"


@pytest.mark.parametrize(
    ("model", "xy", "options", "message"),
    [
        (nn.Linear, (X, Y), {}, f"model is the class Linear; {LOADED}"),
        ({"weight": X}, (X, Y), {}, f"model is of type dict; {LOADED}"),
        (
            None,
            (X, Y),
            {"loss": Y},
            "loss is of type Tensor, not a name or a function of (f, y); give x and y as one pair: "
            "Problem(model, (x, y), loss='mse')",
        ),
        (None, (X, Y), {"memory": "2G"}, "memory is '2G', of type str; give a number of bytes, such as 2_000_000_000"),
        (None, (X, Y), {"batch_size": "8"}, "batch_size is '8', of type str; give a number"),
        (None, (X, Y), {"dtype": "half"}, "dtype is 'half'; give torch.float64 or torch.float32, or leave it out"),
        (
            None,
            (X, Y),
            {"device": "gpu"},
            "device 'gpu' is none that torch knows; give 'cpu' or 'cuda', or leave it out",
        ),
        (
            None,
            (X, Y),
            {"loss": "hinge"},
            "unknown loss 'hinge'; choose from mse, cross_entropy, logistic, huber, smooth_l1, l1, poisson, nll, "
            "a loss of torch.nn such as CrossEntropyLoss, or pkg.mod:function",
        ),
        (None, (X, Y), {"loss": "mse", "reduction": "none"}, "unknown reduction 'none'; choose mean or sum"),
        (None, (X, Y), {"loss": "mse", "batch_size": 0}, "batch_size=0: give at least one sample a batch"),
        (
            nn.Sequential(nn.Flatten(), nn.ReLU()),
            (X, Y),
            {},
            "the model has no trainable parameter; set requires_grad on those to differentiate by",
        ),
        (None, (X, Y[:5]), {}, "x has 7 samples and y has 5; give one target a sample"),
        (None, (X[:0], Y[:0]), {}, "x has shape (0, 6); give at least one sample, shape (N, ...)"),
        (
            None,
            (X[:, 0], Y),
            {},
            "the model does not take x of shape (7,): mat1 and mat2 shapes cannot be multiplied (1x2 and 6x5)",
        ),
        (None, (X / 0, Y), {}, "x holds 42 non-finite value(s) of 42; remove them first"),
        (None, (X, torch.full((7, 3), torch.nan)), {}, "y holds 21 non-finite value(s) of 21; remove them first"),
        (
            None,
            (X[:, :4], Y),
            {},
            "the model does not take x of shape (7, 4): mat1 and mat2 shapes cannot be multiplied (2x4 and 6x5)",
        ),
        (
            None,
            (X, CLASSES + 1),
            {"loss": "cross_entropy"},
            "y holds classes 1..3 but the model has 3 outputs; classes run from 0 to 2 (give y - 1)",
        ),
        (
            nn.Linear(6, 1).double(),
            (X, CLASSES),
            {"loss": "cross_entropy"},
            "cross_entropy of a single output is zero everywhere; give the model 2 outputs, or use mse",
        ),
    ],
)
def test_misuse_is_answered_in_one_line(model: nn.Module | None, xy: tuple, options: dict, message: str) -> None:
    with pytest.raises(Misuse, match=f"^{re.escape(message)}$"):
        Problem(model or network("relu"), xy, **{"loss": "mse", **options})
