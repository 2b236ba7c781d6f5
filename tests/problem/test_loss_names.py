"""Losses by name: literal arguments, nothing evaluated, and lines that say what would be taken."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.problem.losses import LOSSES, check_loss_name, loss_of
from scalecurv.problem.losses.torch_modules import BY_NAME, OF_MORE
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from tests.loops import each

FORM = "give a name, as mse, or a name with literal arguments by name, as cross_entropy(label_smoothing=0.1)"
LIST = ", ".join(LOSSES)
CHOOSE = f"choose from {LIST}, a loss of torch.nn such as CrossEntropyLoss, or pkg.mod:function"
X, Y = torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 1])
MODEL = nn.Linear(3, 2).double()


def value(loss: object, **options: object) -> float:
    return loss_and_gradient(Problem(MODEL, (X, Y), loss, **options))[0]


def test_every_name_makes_a_loss() -> None:
    for name in (*LOSSES, *(name for name, kind in BY_NAME.items() if kind not in OF_MORE)):
        for text in (name, f"{name}()", f" {name} ( ) "):
            check_loss_name(text)
            assert loss_of(text).name == text


def test_equal_meaning_equal_value() -> None:
    wanted = value(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), label_smoothing=0.25))
    for name in ("cross_entropy", "CrossEntropyLoss", "nn.CrossEntropyLoss", "torch.nn.CrossEntropyLoss"):
        for arguments in ("weight=[1, 3], label_smoothing=0.25", "label_smoothing = 0.25,weight=(1.0, 3.0)"):
            assert value(f"{name}({arguments})") == pytest.approx(wanted, rel=1e-12)
    assert value("CrossEntropyLoss(reduction='sum')") == pytest.approx(3 * value("cross_entropy"), rel=1e-12)
    assert value("CrossEntropyLoss(reduction='none')", reduction="sum") == value("cross_entropy", reduction="sum")


def test_the_text_is_what_the_problem_says() -> None:
    text = "cross_entropy(label_smoothing=0.1)"
    at = Problem(MODEL, (X, Y), text)
    assert (at.loss.name, at.reduction) == (text, "mean")
    assert repr(at) == f"Problem(Linear, P=8, N=3, D=2, {text} mean, float64 on cpu)"


@each(
    ("text", "line"),
    [
        ("cross-entropy", f"unknown loss 'cross-entropy' (did you mean cross_entropy?); {CHOOSE}"),
        ("bce", f"unknown loss 'bce' (did you mean logistic?); {CHOOSE}"),
        ("MSEloss", f"unknown loss 'MSEloss' (did you mean MSELoss?); {CHOOSE}"),
        ("zzz", f"unknown loss 'zzz'; {CHOOSE}"),
        ("", f"unknown loss ''; {CHOOSE}"),
        ("huber(0.5)", f"loss 'huber(0.5)' has another form; {FORM}"),
        ("mse + mse()", f"loss 'mse + mse()' has another form; {FORM}"),
        ("cross_entropy(**{'axis': 1})", f"loss \"cross_entropy(**{{'axis': 1}})\" has another form; {FORM}"),
        ("huber(beta=1)", "loss 'huber(beta=1)': huber takes no argument 'beta'; it takes delta"),
        ("mse(beta=1)", "loss 'mse(beta=1)': mse takes no argument 'beta'; it takes none"),
        ("huber(delta=0)", "huber(delta=0): delta is 0; give a number above 0"),
        ("huber(delta=True)", "huber(delta=True): delta is True; give a number above 0"),
        ("cross_entropy(axis=1.5)", "cross_entropy(axis=1.5): axis is 1.5; give a whole number"),
        (
            "cross_entropy(label_smoothing=2)",
            "cross_entropy(label_smoothing=2): label_smoothing is 2; give a number from 0 to 1",
        ),
        (
            "logistic(pos_weight=[-1, 2])",
            "logistic(pos_weight=[-1, 2]): pos_weight holds a number that is negative or not finite, or zeros alone; "
            "give positive ones",
        ),
        ("logistic(weight='a')", "logistic(weight='a'): weight is 'a'; give a list of numbers"),
        (
            "MSELoss(reduction='avg')",
            "loss MSELoss(reduction='avg') has the reduction 'avg'; give one of mean, sum and none",
        ),
        (
            "TripletMarginLoss",
            "loss TripletMarginLoss takes (anchor, positive, negative), and a loss is given the outputs and the "
            "targets of a batch: write a function of (f, y) that takes them apart and returns one number a sample",
        ),
        ("huber(delta=\x1b[31m1)", f"loss 'huber(delta=\\x1b[31m1)' holds characters that cannot be printed; {FORM}"),
    ],
)
def test_what_is_no_loss(text: str, line: str) -> None:
    with pytest.raises(Misuse) as caught:
        check_loss_name(text)
    assert str(caught.value) == line


def test_nothing_in_a_text_is_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    hostile = [
        f"mse(x=__import__('pathlib').Path({str(made)!r}).touch())",
        f"huber(delta=open({str(made)!r}, 'w'))",
        f"cross_entropy(weight=[open({str(made)!r}, 'w') for _ in 'a'])",
        f"(lambda: open({str(made)!r}, 'w'))()",
        "huber(delta=" + "(" * 5000 + "1" + ")" * 5000 + ")",
        "huber(delta=" + "-" * 50_000 + "1)",
        "huber(delta=" + "[" * 150 + "1" + "]" * 150 + ")",
        "huber(delta=9**9**9)",
        "huber(delta=" + "1" * 200_000 + ")",
        "LinearCrossEntropyLoss(in_features=1000000000, num_classes=1000000000)",
        "load(f='x')",
    ]
    for text in hostile:
        with pytest.raises(Misuse) as caught:
            check_loss_name(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700
    assert not made.exists()
