"""The targets that each loss takes, their form, and those that it refuses."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.func import hessian

from scalecurv.errors import Misuse
from scalecurv.problem.losses import loss_of
from scalecurv.problem.problem import Problem
from tests.loops import each

F = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)


def taken(loss: str, shape: tuple[int, ...], y: Tensor) -> Tensor:
    return loss_of(loss).on(shape, y).targets(y)


@pytest.mark.parametrize(
    ("loss", "given", "found"),
    [
        ("mse", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ("mse", [2, 0], [[0, 0, 1], [1, 0, 0]]),
        ("cross_entropy", [2, 0], [2, 0]),
        ("cross_entropy", [2, -100], [2, -100]),
        ("cross_entropy", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]),
    ],
)
def test_targets_as_the_loss_takes_them(loss: str, given: list, found: list) -> None:
    assert taken(loss, (3,), torch.tensor(given)).tolist() == torch.tensor(found).tolist()


def test_one_column_of_floats() -> None:
    for shape in ((), (1,)):
        assert taken("mse", shape, torch.tensor([1.0, 2.0])).tolist() == [[1.0], [2.0]]


def test_mse_is_half_the_squared_distance_and_cross_entropy_the_surprise() -> None:
    y = torch.zeros_like(F)
    assert loss_of("mse").on((3,), y).total(F, y).item() == (1 + 4 + 0.25 + 9 + 1) / 2
    surprise = sum(torch.log(torch.exp(f).sum()) - f[k] for f, k in zip(F, (2, 0), strict=True))
    k = torch.tensor([2, 0])
    assert loss_of("cross_entropy").on((3,), k).total(F, k).item() == pytest.approx(surprise.item(), rel=1e-12)


SCORES = "and the outputs have shape (N, 3); "
BOTH = "give integer classes of shape (N,), or probabilities of shape (N, 3)"
SINGLE = "cross_entropy of a single output is zero everywhere; give the model 2 outputs, or use "
NO_ROWS = "y holds rows that are no probabilities; make them non-negative and sum to 1, or "
RANGE = "y holds classes {} but the model has 3 outputs; classes run from 0 to 2 ({})"
FLOATS = "store y as floats for regression"
UNCOUNTED = "give ignore_index={0} if {0} marks targets that do not count"
REFUSED = [
    ("mse", (3,), torch.zeros(2, 2), "y has shape (2, 2) but the model has 3 outputs; give y of shape (N, 3)"),
    ("mse", (3,), torch.zeros(2), "y has shape (2,) but the model has 3 outputs; give y of shape (N, 3)"),
    ("mse", (3,), torch.tensor([0, 3]), RANGE.format("0..3", FLOATS)),
    (
        "huber",
        (3,),
        torch.tensor([0, 2]),
        "y has shape (2,) but the model has 3 outputs; use cross_entropy, which fits them",
    ),
    (
        "poisson",
        (1,),
        torch.tensor([-1.5, 2]),
        "y goes down to -1.5; poisson takes targets of at least 0; use mse, which fits them",
    ),
    ("cross_entropy", (3,), torch.tensor([-1, 2]), RANGE.format("-1..2", UNCOUNTED.format(-1))),
    ("cross_entropy", (3,), torch.tensor([255, 2]), RANGE.format("2..255", UNCOUNTED.format(255))),
    ("mse", (3,), torch.tensor([-100, 2]), RANGE.format("-100..2", FLOATS)),
    ("cross_entropy", (3,), torch.tensor([1, 3]), RANGE.format("1..3", "give y - 1")),
    ("cross_entropy", (3,), torch.tensor([[1], [2]]), f"y holds integers of shape (2, 1), {SCORES}give y.squeeze(1)"),
    (
        "cross_entropy",
        (3,),
        torch.tensor([[1, 1, 0]]),
        f"y holds integers of shape (1, 3), {SCORES}use logistic, which fits them",
    ),
    (
        "cross_entropy",
        (3,),
        torch.tensor([[1, 0, 0]]),
        "y holds integers of shape (1, 3), one-hot; give classes, y.argmax(1)",
    ),
    ("cross_entropy", (3,), torch.ones(2) / 3, f"y holds floats of shape (2,), {SCORES}{BOTH}"),
    (
        "cross_entropy",
        (3,),
        torch.ones(2),
        f"y holds floats of shape (2,), {SCORES}store y as integers, y.long(), if they are classes",
    ),
    ("cross_entropy", (3,), torch.tensor([[0.5, 0.6, 0.1]]), f"{NO_ROWS}use mse, which fits them"),
    ("cross_entropy", (3,), torch.tensor([[0.0, 1, 1]]), f"{NO_ROWS}use logistic, which fits them"),
    ("cross_entropy", (1,), torch.tensor([0, 0]), f"{SINGLE}logistic"),
    ("cross_entropy", (), torch.tensor([0.5, 2]), f"{SINGLE}mse"),
    (
        "cross_entropy",
        (4, 4),
        torch.zeros(2, 4, dtype=int),
        "y of shape (2, 4) fits outputs of shape (N, 4, 4) in 2 ways; say which axis holds the classes: axis=1 or "
        "axis=-1, as in cross_entropy(axis=1)",
    ),
    (
        "cross_entropy(axis=1)",
        (4, 3),
        torch.zeros(2, 4, dtype=int),
        "cross_entropy(axis=1): axis 1 of outputs (N, 4, 3) does not hold the classes of y of shape (2, 4); "
        "give axis=2",
    ),
    (
        "cross_entropy(axis=0)",
        (4, 3),
        torch.zeros(2, 4, dtype=int),
        "cross_entropy(axis=0): axis 0 is none that holds classes; the outputs have shape (N, 4, 3): give 1 to 2, or "
        "-1 for the last",
    ),
    (
        "cross_entropy(weight=[1, 2])",
        (3,),
        torch.tensor([0, 2]),
        "cross_entropy(weight=[1, 2]): weight has shape (2,); give one number a class, 3 of them",
    ),
]


@each(("loss", "shape", "y", "message"), REFUSED)
def test_targets_it_refuses(loss: str, shape: tuple[int, ...], y: Tensor, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        taken(loss, shape, y)
    assert str(caught.value) == message


def test_what_a_refusal_advises_is_taken() -> None:
    """Each loss that a message names takes the targets for which it was named."""
    followed = 0
    for _, shape, y, message in REFUSED:
        if (name := re.search(r"use (\w+), which fits|as in (\S+)$|or use (\w+)$", message)) is not None:
            taken(next(part for part in name.groups() if part), shape, y)
            followed += 1
    assert followed > 6


def test_outputs_that_are_no_log_probabilities() -> None:
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = nn.Linear(3, 2)
    for loss in ("nll", nn.NLLLoss()):
        with pytest.raises(
            Misuse, match=r"takes log-probabilities, and the outputs of the model are none.*use cross_entr"
        ):
            Problem(head, (x, y), loss)
        Problem(nn.Sequential(head, nn.LogSoftmax(1)), (x, y), loss)
    Problem(head, (x, y), "cross_entropy")


def test_nothing_but_ignored_targets() -> None:
    with pytest.raises(
        Misuse, match=r"^no target counts for loss cross_entropy: all are ignored; give some that are not$"
    ):
        Problem(nn.Linear(2, 3), (torch.zeros(4, 2), torch.full((4,), -100)))


# ordinary outputs, equal ones, a sample that is sure of its class, and one surer than exp can tell
OUTPUTS = torch.tensor([[1.0, -2, 0.5], [0.3, 0.3, 0.3], [0, 20, 1], [-400, 400, 0]], dtype=torch.float64)
SOFT = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
REAL = torch.tensor([[1.0, 2, 3], [-4, 5, 6], [0, 0, 0], [-400, 400, 1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        pytest.param("mse", REAL, id="mse"),
        pytest.param("mse", torch.tensor([2, 0, 1, 1]), id="mse of classes"),
        pytest.param("cross_entropy", torch.tensor([2, 0, 1, 0]), id="classes"),
        pytest.param("cross_entropy", SOFT, id="probabilities"),
        pytest.param("cross_entropy", SOFT * (1 + 5e-5), id="probabilities that sum to a little more"),
        pytest.param("cross_entropy", SOFT * (1 - 5e-5), id="probabilities that sum to a little less"),
    ],
)
def test_the_factor_is_a_root_of_the_second_derivative(loss: str, y: Tensor) -> None:
    """F_i F_i' = d^2 loss / df^2 at each sample, whatever else is in the batch."""
    found = loss_of(loss).on((3,), y)
    y = found.targets(y)
    assert found.factor is not None
    root = found.factor(OUTPUTS, y)
    for i, f in enumerate(OUTPUTS):
        M = hessian(lambda f, target=y[i : i + 1]: found.total(f[None], target))(f)
        torch.testing.assert_close(root[i] @ root[i].T, M, rtol=0, atol=1e-12)
    together = hessian(lambda f: found.total(f.view(4, 3), y))(OUTPUTS.flatten())
    torch.testing.assert_close(torch.block_diag(*(root @ root.transpose(1, 2))), together, rtol=0, atol=1e-12)
