"""Each row of the table in docs/data.md on what is taken for granted about x, y and outputs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv import Problem
from scalecurv.errors import Misuse
from tests.loops import each

N = 6
X = np.random.default_rng(0).standard_normal((N, 4))


class Ends(nn.Module):
    """Four numbers, or four words, to `outputs`, and then whatever `end` makes of them."""

    def __init__(self, outputs: int, end=lambda f: f):  # type: ignore[no-untyped-def]
        super().__init__()
        self.embed, self.head, self.end = nn.Embedding(9, 1), nn.Linear(4, outputs), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.head(x if x.is_floating_point() else self.embed(x)[..., 0]))


def at(y, loss: str, outputs: int = 1, x=X, end=lambda f: f, **options) -> Problem:  # type: ignore[no-untyped-def]
    return Problem(Ends(outputs, end).double().eval(), (x, y), loss, **options)


def one_column() -> None:
    assert at(np.arange(N) / 2, "mse").y.shape == (N, 1)


def whole_quantities() -> None:
    for y in (np.zeros(N, int), np.arange(N)[:, None] - 3):
        assert torch.equal(at(y, "mse").y, torch.as_tensor(y, dtype=torch.float64).view(N, 1))
    y = np.arange(2 * N).reshape(N, 2)
    assert torch.equal(at(y, "mse", 2).y, torch.as_tensor(y, dtype=torch.float64))


def one_hot() -> None:
    assert torch.equal(at(np.arange(N) % 3, "mse", 3).y, torch.eye(3, dtype=torch.float64)[torch.arange(N) % 3])
    with pytest.raises(Misuse, match=r"^y holds classes 0..5 but the model has 3 outputs"):
        at(np.arange(N), "mse", 3)


def no_spreading() -> None:
    with pytest.raises(Misuse, match=r"^y has shape \(6, 1\) but the model has 3 outputs; give y of shape \(N, 3\)$"):
        at(np.zeros((N, 1)), "mse", 3)
    with pytest.raises(Misuse, match=r"^y has shape \(6,\) but the model has 3 outputs"):
        at(np.zeros(N), "mse", 3)


def probabilities() -> None:
    y = np.full((N, 3), 1 / 3)
    assert torch.equal(at(y, "cross_entropy", 3).y, torch.as_tensor(y))
    with pytest.raises(Misuse, match=r"^y holds rows that are no probabilities"):
        at(2 * y, "cross_entropy", 3)


def whole_inputs() -> None:
    words = np.arange(4 * N, dtype=np.uint8).reshape(N, 4) % 9
    assert at(np.zeros(N), "mse", x=words).x.dtype == torch.int64
    with pytest.raises(Misuse, match=r"which are given as indices: store it as floats where they are quantities$"):
        Problem(nn.Linear(4, 1).double(), (words, np.zeros(N)), "mse")


def one_precision() -> None:
    point = at(np.zeros(N, np.float32), "mse", x=X.astype(np.float16), dtype=torch.float32)
    assert (point.x.dtype, point.y.dtype, point.theta.dtype) == (torch.float32,) * 3


def rows_of_outputs() -> None:
    flat = at(np.zeros((N, 4)), "mse", 4, end=lambda f: f.unflatten(1, (2, 2)))
    assert flat.num_outputs == 4
    assert torch.equal(flat.outputs(flat.theta, flat.x), flat.model.head(flat.x))


def squeezed() -> None:
    for outputs in (1, 3):
        point = at(np.zeros((N, outputs)), "mse", outputs, end=torch.squeeze)
        whole = at(np.zeros((N, outputs)), "mse", outputs)
        for rows in (slice(0, 1), slice(0, N)):
            whole.theta = point.theta
            assert torch.equal(point.outputs(point.theta, point.x[rows]), whole.outputs(point.theta, point.x[rows]))
        single = at(np.zeros((1, outputs)), "mse", outputs, x=X[:1], end=torch.squeeze)
        assert single.num_outputs == outputs


def narrow() -> None:
    model = Ends(1).bfloat16().eval()
    for kind in (torch.bfloat16, torch.float16):
        point = Problem(model, (torch.as_tensor(X).to(kind), torch.zeros(N, dtype=kind)), "mse")
        assert {point.dtype, point.x.dtype, point.y.dtype, point.theta.dtype} == {torch.float32}
        assert torch.equal(point.x, torch.as_tensor(X).to(kind).float())
        assert torch.equal(point.theta[-1:], model.head.bias.float())


ROWS = {
    "y (N,) of floats, `mse`, one output": one_column,
    "y of whole numbers, `mse`, one output or as many columns as outputs": whole_quantities,
    "y (N,) of whole numbers, `mse`, several outputs": one_hot,
    "y with another number of columns than there are outputs": no_spreading,
    "y (N, D) of floats, `cross_entropy`": probabilities,
    "x of whole numbers": whole_inputs,
    "x, y and weights of several dtypes": one_precision,
    "outputs (N, a, b, ...)": rows_of_outputs,
    "outputs of one sample, of any shape, and (N,)": squeezed,
    "bfloat16, float16": narrow,
}


@each(row=ROWS)
def test_what_is_taken_for_granted(row: str) -> None:
    ROWS[row]()


def test_the_table_has_these_rows_and_no_others() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    table = text.split("| as it comes | as it is taken |")[1].split("\n\n")[0]
    assert [re.sub(r"\\\|", "|", row) for row in re.findall(r"^\| (.*?) \| .* \|$", table, re.M)] == list(ROWS)
