"""docs/losses.md: each loss, with its shapes and its mean, against torch's own functions and plain autograd."""

import pytest
import torch
from torch import Tensor, nn

from scalecurv import Misuse, Problem, analyze, hessian
from scalecurv.problem.risk import loss_and_gradient
from tests.pages import check_table, code, row
from tests.refused_losses import REFUSED, X, net
from tests.trained_losses import MEANS, MODULES, NAMED, Trained

HEADING = row("`--loss`", "outputs", "targets", "mean over", "second derivative")
LINES = row("what comes", "the line")
CLOSED, DIFFERENTIATED = "closed form", "by autograd"


def truth(trained: Trained, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value that torch computes, and the Hessian of it in the parameters."""
    f = model(x)
    parameters = list(model.parameters())
    value = trained.total(f, y) / MEANS[trained.mean](f, y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters, create_graph=True)])
    rows = [
        torch.cat([h.flatten() for h in torch.autograd.grad(g, parameters, retain_graph=True, materialize_grads=True)])
        for g in gradient
    ]
    return value.detach(), torch.stack(rows)


def line(trained: Trained) -> str:
    """Compare a loss with the truth, and return its row."""
    torch.manual_seed(0)
    model, (x, y) = trained.model(), trained.data()
    problem = Problem(model, (x, y), trained.loss)
    value, H = truth(trained, model, x, y)
    torch.testing.assert_close(analyze(problem, "gradient")["loss"].value, float(value), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.as_tensor(hessian(problem).to_dense()), H, rtol=1e-9, atol=1e-11)
    known = CLOSED if problem.loss.bend is not None else DIFFERENTIATED
    return row(f"`{trained.loss}`", trained.outputs, trained.targets, trained.mean, known)


def test_the_table_of_named_losses() -> None:
    check_table("losses.md", HEADING, map(line, NAMED))


def test_the_table_of_modules_of_torch() -> None:
    """By name and by object, with torch's own mean."""
    rows = list(map(line, MODULES))
    for trained in MODULES:
        torch.manual_seed(0)
        model, (x, y) = trained.model(), trained.data()
        call = trained.loss if "(" in trained.loss else f"{trained.loss}()"
        module = eval(f"nn.{call}", {"nn": nn})
        value = loss_and_gradient(Problem(model, (x, y), module))[0]
        torch.testing.assert_close(float(value), float(module(model(x), y).detach()), rtol=1e-10, atol=1e-12)
    check_table("losses.md", HEADING.replace("`--loss`", "module of `torch.nn`"), rows)


def test_the_table_of_refusals() -> None:
    rows = []
    for name, (shape, y, loss) in REFUSED.items():
        with pytest.raises(Misuse) as caught:
            Problem(net(*shape), (X, y), loss)
        assert "\n" not in str(caught.value)
        rows.append(row(name, code(str(caught.value))))
    check_table("losses.md", LINES, rows)


def test_the_axis_of_classes_where_two_would_fit() -> None:
    """Each advice leads to the number that it says, and torch's module has its classes along axis 1."""
    model, y = net(3, 3).double(), torch.randint(0, 3, (4, 3))
    f = model(X.double()).detach()
    for loss, axis in (("cross_entropy(axis=1)", 1), ("cross_entropy(axis=-1)", -1), ("CrossEntropyLoss", 1)):
        value = loss_and_gradient(Problem(model, (X.double(), y), loss))[0]
        assert value == pytest.approx(float(nn.functional.cross_entropy(f.movedim(axis, 1), y)), rel=1e-12)
