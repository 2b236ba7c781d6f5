"""A block of parameters: its rows and columns of H, while all other parameters are held fixed."""

import pytest
import torch

from scalecurv.errors import Misuse
from scalecurv.mlp.layers import structure_of
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, network, oracle, problem

W = 0.3
BLOCKS = [
    ("relu", r"^2[.]"),
    ("relu", "weight$"),
    ("tanh", "bias"),
    ("tied", "^first"),
    ("conv", "1"),
    ("partly", "body"),
]


def chosen(name: str, pattern: str) -> torch.Tensor:
    """The indices of the block in theta."""
    names = {"^2[.]": ("2.",), "^first": ("first",), "body": ("body",), "1": ("1.",)}
    slices = problem(name).space.slices

    def inside(parameter: str) -> bool:
        if pattern in ("weight$", "bias"):
            return parameter.endswith(pattern.rstrip("$"))
        return parameter.startswith(names[pattern])

    return torch.cat([torch.arange(part.start, part.stop) for n, part in slices.items() if inside(n)])


@each(block=BLOCKS, way=[("at once", W), ("later", W), ("at once", 0.0)])
def test_products_are_those_of_the_block(block: tuple[str, str], way: tuple[str, float]) -> None:
    (name, pattern), (how, w) = block, way
    model, points = network(name), data("mse")
    if how == "at once":
        at = Problem(model, points, "mse", weight_decay=w, params=pattern)
    else:
        at = Problem(model, points, "mse", weight_decay=w).restricted(pattern)
    truth, rows = oracle(name), chosen(name, pattern)
    eye = torch.eye(len(rows), dtype=torch.float64)
    assert at.num_params == len(rows)
    assert at.params == pattern
    for operator, whole in (
        (HessianOperator(at), truth.hessian),
        (GaussNewtonOperator(at), truth.gauss_newton),
    ):
        torch.testing.assert_close(operator @ eye, whole[rows][:, rows] + w * eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(JacobianOperator(at) @ eye, truth.jacobian[:, rows], rtol=0, atol=1e-12)
    theta = problem(name).theta
    value, gradient = loss_and_gradient(at)
    torch.testing.assert_close(gradient, (truth.gradient + w * theta)[rows], rtol=0, atol=1e-12)
    assert value == pytest.approx(truth.loss + w * float((theta**2).sum()) / 2, rel=1e-12)  # of all parameters


def test_in_another_dtype_and_of_a_block_of_a_block() -> None:
    at = problem("relu", weight_decay=W)
    there = at.restricted("weight$").astype(torch.float32)
    back = at.astype(torch.float32).restricted("weight$")
    assert torch.equal(there.theta, back.theta)
    v = torch.ones(there.num_params, 1)
    assert torch.equal(HessianOperator(there) @ v, HessianOperator(back) @ v)
    twice, once = at.restricted("weight$").restricted("^0[.]"), at.restricted("^0[.]weight")
    assert torch.equal(twice.theta, once.theta)
    assert loss_and_gradient(twice)[0] == pytest.approx(loss_and_gradient(once)[0], rel=1e-12)
    assert at.restricted(None) is at


def test_the_structure_is_that_of_the_whole_alone() -> None:
    assert structure_of(problem("relu")) is not None
    assert structure_of(problem("relu").restricted("^0[.]")) is None
    assert structure_of(problem("relu").restricted(".")) is not None  # all of it


@each(make=[lambda pattern: problem("relu", params=pattern), problem("relu").restricted])
def test_what_is_no_block(make: object) -> None:
    assert callable(make)
    with pytest.raises(Misuse) as caught:
        make("conv")
    known = "0.weight, 0.bias, 2.weight, 2.bias, 4.weight, 4.bias"
    assert str(caught.value) == f"params 'conv' is found in no name of a trainable parameter; there are {known}"
    with pytest.raises(Misuse) as caught:
        make("(")
    said = "missing ), unterminated subpattern at position 0"
    advice = "give one like '^0[.]' or 'weight$'"
    assert str(caught.value) == f"params '(' is no regular expression ({said}); {advice}"


def test_of_many_parameters_a_few_are_named() -> None:
    space = ParameterSpace({f"{i}.weight": torch.Size([1]) for i in range(9)})
    with pytest.raises(Misuse) as caught:
        space.restricted("x")
    assert str(caught.value).endswith("there are " + ", ".join(f"{i}.weight" for i in range(8)) + ", ...")
