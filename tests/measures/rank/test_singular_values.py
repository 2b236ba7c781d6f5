"""The singular values of J on each of the three roads, against dense ones, and where one road gives way to the next."""

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.linalg.singular_values import SingularValues
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.singular_values import jacobian_values
from scalecurv.mlp.layers import listed_mlp
from scalecurv.problem.problem import Problem
from tests.dense import dense_at
from tests.loops import each
from tests.networks import NETWORKS, problem
from tests.piecewise import CLIP, LEAKY, Shape

# "relu": J is 21 x 74, widths 18 together
DENSE = 4 * 8 * 21 * 74  # J written out takes a fourth
GRAM = 2 * 8 * 21 * 21  # J J' takes a half
SHAPES = {
    "two hidden": Shape((6, 5, 4, 3), (nn.ReLU, LEAKY)),
    "clipped, no biases": Shape((4, 6, 2), (CLIP,), (False, False)),
    "one layer": Shape((5, 3)),
}


def dense_values(point: Problem, output: str = "logits") -> np.ndarray:
    J = dense_at(point).jacobian
    if output == "prob":
        p = point.outputs(point.theta, point.x).double().softmax(1)
        J = ((torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) @ J.view(*p.shape, -1)).flatten(0, 1)
    return np.linalg.svd(J.numpy(), compute_uv=False)


def net(shape: Shape, num_data: int) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = shape.build().double()
        x = 2 * torch.randn(num_data, shape.widths[0], dtype=torch.float64)
    return Problem(model, (x, torch.zeros(num_data, shape.widths[-1])), "mse")


def assert_brackets(found: SingularValues, sigma: np.ndarray) -> None:
    """Every value below its singular value, by no more than its error."""
    rounding = 1e-12 * sigma[0]
    leading = sigma[: len(found.values)]
    assert (found.values <= leading + rounding).all()
    assert (leading <= found.values + found.error + rounding).all()
    assert (sigma[len(found.values) :] <= np.max(found.error) + rounding).all()


@each(output=["logits", "prob"], num_data=[9, 40], name=SHAPES)
def test_three_roads_to_the_same(name: str, num_data: int, output: str) -> None:
    point = net(SHAPES[name], num_data)
    sigma = dense_values(point, output)
    rows, columns = dense_at(point).jacobian.shape
    dense = jacobian_values(Evaluation(point), 4 * 8 * rows * columns, output)
    assert dense.error == 0
    np.testing.assert_allclose(dense.values, sigma, rtol=1e-10, atol=1e-12 * sigma[0])
    gram = jacobian_values(Evaluation(point), max(16 * rows**2, 4 * 8 * rows * columns - 1), output)
    if 16 * rows**2 < 4 * 8 * rows * columns:
        assert isinstance(gram.error, np.ndarray)
        assert gram.error[0] < 1e-12 * sigma[0]
        assert len(gram.values) == min(rows, columns)
    assert_brackets(gram, sigma)
    sketch = jacobian_values(Evaluation(point), 5 * 8 * (2 * rows + columns), output)
    assert not sketch.complete
    assert_brackets(sketch, sigma)
    for found in (dense, gram):
        assert (found.shape, found.complete, found.num_matvecs) == ((rows, columns), True, 0)


@each(
    ("memory", "road"),
    [(DENSE, "dense"), (DENSE - 1, "gram"), (GRAM, "gram"), (GRAM - 1, "sketch")],
    output=["logits", "prob"],
)
def test_memory_decides(memory: int, road: str, output: str) -> None:
    found = jacobian_values(Evaluation(problem("relu")), memory, output)
    sketched = not found.complete
    assert road == ("sketch" if sketched else "gram" if isinstance(found.error, np.ndarray) else "dense")
    kept = memory // (8 * (2 * 21 + 74))
    assert found.num_matvecs == (kept + 10 + kept if sketched else 0)
    assert_brackets(found, dense_values(problem("relu"), output))


def test_the_factors_have_to_fit_as_well() -> None:
    """Three samples of a wide network: J J' is 3 x 3, what it is made of takes 3 x 206 numbers."""
    point = net(Shape((5, 200, 1), (nn.ReLU,)), 3)
    assert jacobian_values(Evaluation(point), 2 * 8 * 3 * 206, "logits").num_matvecs == 0
    assert jacobian_values(Evaluation(point), 2 * 8 * 3 * 206 - 1, "logits").num_matvecs > 0


@each(output=["logits", "prob"], name=[name for name in NETWORKS if not listed_mlp(problem(name))])
def test_other_models_take_products(name: str, output: str) -> None:
    """min(N D, P) of them, the whole side; counted with the evaluation."""
    point = problem(name, batch_size=3)
    sigma, evaluation = dense_values(point, output), Evaluation(point)
    found = jacobian_values(evaluation, 1 << 30, output)
    np.testing.assert_allclose(found.values, sigma, rtol=1e-10, atol=1e-12 * sigma[0])
    assert found.num_matvecs == len(sigma)
    assert evaluation.total_matvecs == len(sigma)


def test_products_are_limited_unless_every_value_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    point, sigma = problem("conv"), dense_values(problem("conv"))
    monkeypatch.setattr("scalecurv.measures.rank.singular_values.WORK", 0)
    monkeypatch.setattr("scalecurv.measures.rank.singular_values.PRODUCTS", 18)
    few = jacobian_values(Evaluation(point), 1 << 30, "logits")
    assert not few.complete
    assert few.num_matvecs == 18  # a sketch of four with ten tests, and four back
    assert (few.values <= sigma[:4] * (1 + 1e-12)).all()
    every = jacobian_values(Evaluation(point), 1 << 30, "logits", True)
    assert every.complete
    np.testing.assert_allclose(every.values, sigma, rtol=1e-10, atol=1e-12 * sigma[0])


def test_it_is_remembered_and_in_double() -> None:
    point = problem("relu", dtype=torch.float32)
    evaluation = Evaluation(point)
    found = jacobian_values(evaluation, 1 << 30, "logits")
    np.testing.assert_allclose(found.values, dense_values(point), rtol=1e-10, atol=1e-12 * found.values[0])
    assert jacobian_values(evaluation, 1 << 30, "logits") is found
    assert not np.allclose(jacobian_values(evaluation, 1 << 30, "prob").values, found.values)
    assert not jacobian_values(evaluation, 5000, "logits").complete


@pytest.mark.parametrize("name", ["one output"])
def test_what_has_no_answer_is_refused(name: str) -> None:
    with pytest.raises(Misuse, match=r"^one output has no probabilities; leave --output out$"):
        jacobian_values(Evaluation(problem(name)), 1 << 30, "prob")
