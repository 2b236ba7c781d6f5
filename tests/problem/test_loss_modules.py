"""Loss modules by object: torch's own, and those of users, with and without a reduction."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv.errors import Misuse
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.losses import loss_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each
from tests.networks import data, network

X, Y = data("cross_entropy")
F0 = network("tanh")(X).detach()
W = torch.tensor([1.0, 3.0, 0.5])


def at(loss: object, **options: object) -> Problem:
    return Problem(network("tanh"), (X, Y), loss, **options)  # type: ignore[arg-type]


class Focal(nn.Module):
    """(1 - p)^gamma times the surprise, with class weights, reduced as torch's losses are (Lin et al. 2017)."""

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction
        self.gamma = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("weight", W)

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        surprise = F.cross_entropy(f, y, reduction="none")
        each = self.weight[y] * (1 - (-surprise).exp()) ** self.gamma * surprise
        return each if self.reduction == "none" else getattr(each, self.reduction)()


class Plain(nn.Module):
    """One number a sample, and no reduction."""

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return Focal("none").to(f)(f, y)


class Weighted(nn.CrossEntropyLoss):
    """A forward of the user's own, whose mean is torch's over weights."""

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return 2 * super().forward(f, y)


class Kept(nn.CrossEntropyLoss):
    """Another name for torch's forward."""


@each(reduction=["mean", "sum"], dtype=[torch.float32, torch.float64])
def test_a_module_of_the_users_own_has_its_own_value(reduction: str, dtype: torch.dtype) -> None:
    """Its buffers and parameters follow the dtype of products."""
    found = at(Focal(reduction), dtype=dtype, batch_size=3)
    wanted = float(Focal(reduction).double()(F0, Y).detach())
    assert loss_and_gradient(found)[0] == pytest.approx(wanted, rel=1e-5)
    assert (found.reduction, found.loss.foreign, found.num_params) == (reduction, True, at("cross_entropy").num_params)
    double = found.astype(torch.float64)
    assert loss_and_gradient(double)[0] == pytest.approx(wanted, rel=1e-5)


def test_without_a_reduction_the_problem_says() -> None:
    for module in (Focal("none"), Plain()):
        for reduction in ("mean", "sum", None):
            wanted = float(Focal(reduction or "mean").double()(F0, Y).detach())
            assert loss_and_gradient(at(module, reduction=reduction))[0] == pytest.approx(wanted, rel=1e-6)


def test_two_reductions_that_differ() -> None:
    for loss in (Focal("mean"), nn.CrossEntropyLoss()):
        name = type(loss).__name__
        with pytest.raises(
            Misuse, match=f"^reduction is 'sum', and loss {name} has the reduction 'mean'; leave one of"
        ):
            at(loss, reduction="sum")
        assert at(loss, reduction="mean").reduction == "mean"


def test_a_mean_that_is_none_of_the_samples_numbers() -> None:
    """With reduction="none" the same module is taken, and the mean is then over samples."""
    with pytest.raises(Misuse, match=r'^loss Weighted returns .*; give it with reduction="none": the reduction of the'):
        at(Weighted(weight=W.double()))
    found = loss_and_gradient(at(Weighted(weight=W.double(), reduction="none")))[0]
    assert found == pytest.approx(2 * float(F.cross_entropy(F0, Y, W.double(), reduction="sum")) / len(X), rel=1e-12)


def test_a_mean_over_what_counts_is_seen_wherever_it_begins() -> None:
    """The targets that a module of the user's own ignores may come late, and fill samples of their own."""
    x, y = X.repeat(20, 1), Y.repeat(20)
    model = network("tanh")
    for ignored in (y.new_tensor([137]), torch.arange(64, 128)):
        late = y.clone()
        late[ignored] = -100
        with pytest.raises(Misuse, match=r"^loss Weighted returns .*, and the mean of what it returns with reduction"):
            Problem(model, (x, late), Weighted())
        found = loss_and_gradient(Problem(model, (x, late), Weighted(reduction="sum")))[0]
        assert found == pytest.approx(2 * float(F.cross_entropy(model(x), late, reduction="sum").detach()), rel=1e-12)


def test_a_subclass_that_keeps_the_forward_is_known() -> None:
    known, own = at(Kept(label_smoothing=0.1)), at(Weighted())
    assert (known.loss.foreign, known.loss.name) == (False, "Kept")
    assert own.loss.foreign
    assert loss_and_gradient(own)[0] == pytest.approx(2 * float(F.cross_entropy(F0, Y)), rel=1e-12)
    hooked = nn.CrossEntropyLoss()
    hooked.register_forward_hook(lambda module, given, found: 3 * found)
    assert loss_and_gradient(at(hooked))[0] == pytest.approx(3 * float(F.cross_entropy(F0, Y)), rel=1e-12)


def test_what_is_known_and_what_autograd_finds_have_the_same_products() -> None:
    eye = torch.eye(at("cross_entropy").num_params, dtype=torch.float64)
    known = at(nn.CrossEntropyLoss(label_smoothing=0.2))

    class Doubled(nn.CrossEntropyLoss):
        def forward(self, f: Tensor, y: Tensor) -> Tensor:
            return super().forward(f, y) + 0

    foreign = at(Doubled(label_smoothing=0.2))
    for operator in (HessianOperator, GaussNewtonOperator):
        torch.testing.assert_close(operator(known) @ eye, operator(foreign) @ eye, rtol=0, atol=1e-13)


def test_later_changes_of_a_module_do_not_move_the_problem() -> None:
    for module in (nn.CrossEntropyLoss(weight=W.clone()), Focal()):
        found = at(module)
        before = loss_and_gradient(found)[0]
        with torch.no_grad():
            module.weight.mul_(torch.tensor([7.0, 1.0, 1.0]))
        assert loss_and_gradient(found)[0] == before


def test_classes_functions_and_makers() -> None:
    wanted = float(F.cross_entropy(F0, Y))
    for loss in (nn.CrossEntropyLoss, F.cross_entropy, nn.CrossEntropyLoss(), lambda: nn.CrossEntropyLoss()):
        assert loss_and_gradient(at(loss))[0] == pytest.approx(wanted, rel=1e-12)
    assert loss_of(nn.MSELoss, "torch.nn:MSELoss").name == "torch.nn:MSELoss"


@each(
    ("loss", "line"),
    [
        (nn.CTCLoss(), "loss CTCLoss takes (f, y) and the lengths of both, and a loss is given the outputs and the"),
        (nn.GaussianNLLLoss(), "loss GaussianNLLLoss takes (f, y, variance), and a loss is given the outputs and the"),
        (nn.TripletMarginLoss, "loss TripletMarginLoss takes (anchor, positive, negative), and a loss is given the"),
        (nn.CrossEntropyLoss(weight=W[:2]), "CrossEntropyLoss: weight has shape (2,); give one number a class, 3 of"),
        (nn.BCEWithLogitsLoss(), "y has shape (7,) but the model has 3 outputs; use cross_entropy, which fits them"),
        (nn.MSELoss(), "y has shape (7,) but the model has 3 outputs; use cross_entropy, which fits them"),
        (nn.BCELoss(), "y has shape (7,) but the model has 3 outputs; use cross_entropy, which fits them"),
        (3, "loss is of type int, not a name or a function of (f, y); give x and y as one pair"),
    ],
)
def test_what_is_refused(loss: object, line: str) -> None:
    with pytest.raises(Misuse) as caught:
        at(loss)
    assert str(caught.value).startswith(line)
