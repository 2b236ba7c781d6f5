"""Losses, weight decay and blocks of parameters from the command line to SQL, against dense Hessians."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, hessian

from scalecurv.checkpoints.load import load
from scalecurv.checkpoints.model import build_mlp
from scalecurv.results.query import open_store
from tests.commands import analyze, invoke
from tests.runs import write_run
from tests.user_losses import WEIGHTS, smoothed

W = 0.05
BLOCK = "^0[.]"
COMMON = ("--dtype", "float64", "--rtol", "0.02", "--engine", "serial")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [0])


def truth(run: Path, loss: Callable[[Tensor, Tensor], Tensor], w: float) -> tuple[float, Tensor, Tensor, list[str]]:
    """L, g, H and for every coordinate the name of its parameter."""
    model, _ = build_mlp(load(run / "step_0.pt"), "relu", flatten=False)
    model = model.double()
    with np.load(run / "data.npz") as file:
        x, y = torch.from_numpy(file["x"]).double(), torch.from_numpy(file["y"])
    shapes = {name: p.shape for name, p in model.named_parameters()}
    names = [name for name, shape in shapes.items() for _ in range(shape.numel())]

    def whole(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes.values()])
        state = {n: t.view(shapes[n]) for n, t in zip(shapes, parts, strict=True)}
        return loss(functional_call(model, state, (x,)), y).mean() + w * (theta**2).sum() / 2

    theta = nn.utils.parameters_to_vector(model.parameters()).detach()
    gradient, value = grad_and_value(whole)(theta)
    return float(value), gradient, hessian(whole)(theta), names


def surprise(f: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(f, y, reduction="none")


def found(store: Path, component: str = "") -> dict[str, tuple[float, float, float]]:
    rows = open_store(store).sql(
        f"select quantity, value, lower, upper from estimates where component = '{component}' and value is not null"
    )
    return {row.quantity: (row.value, row.lower, row.upper) for row in rows.itertuples()}


def assert_found(numbers: dict[str, tuple[float, float, float]], value: float, g: Tensor, H: Tensor) -> None:
    beta = 1 / (1 + float(g @ g))
    S = beta**0.5 * (H - beta * torch.outer(g, g @ H))
    ends = torch.linalg.eigvalsh(H)
    wanted = {"loss": value, "grad_norm": float(g.norm()), "ghg": float(g @ H @ g), "beta": beta}
    wanted |= {"trace": float(H.trace()), "trace_h2": float((H**2).sum()), "lambda_max": float(ends[-1])}
    wanted |= {"lambda_min": float(ends[0]), "scalar_curvature": float(S.trace() ** 2 - (S @ S).trace())}
    for quantity, number in wanted.items():
        middle, lower, upper = numbers[quantity]
        slack = 1.5 * (upper - lower) / 2 + 1e-9 * max(abs(number), 1e-3)  # five standard errors, or rounding
        assert lower - slack <= number <= upper + slack, quantity
        assert abs(middle - number) <= 0.1 * abs(number) + 1e-4 * float(ends[-1]), quantity


@pytest.mark.parametrize("params", [None, BLOCK, "weight$"])
@pytest.mark.parametrize("w", [0.0, W])
@pytest.mark.parametrize(("name", "loss"), [("cross_entropy", surprise), ("tests.user_losses:smoothed", smoothed)])
def test_every_number_is_that_of_the_loss_that_was_asked(
    run: Path, tmp_path: Path, name: str, loss: Callable[[Tensor, Tensor], Tensor], w: float, params: str | None
) -> None:
    options = ["--loss", name, *(["--weight-decay", str(w)] if w else []), *(["--params", params] if params else [])]
    names = "gradient,extremes,moments,curvature,rank"
    result = analyze(run, tmp_path / "store", "--measure", names, *COMMON, *options)
    assert result.exit_code == 0, result.output
    value, g, H, owners = truth(run, loss, w)
    rows = [i for i, owner in enumerate(owners) if params is None or owner.startswith("0.") or params == "weight$"]
    rows = [i for i in rows if params != "weight$" or owners[i].endswith("weight")]
    component = f"params={params}" if params else ""
    assert_found(found(tmp_path / "store", component), value, g[rows], H[rows][:, rows])
    task = open_store(tmp_path / "store").sql("select loss, weight_decay from tasks").iloc[0]
    assert (task["loss"], task["weight_decay"]) == (name, w)


def test_a_block_is_kept_apart_from_the_whole_and_done_once(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for options in ((), ("--params", BLOCK), ("--params", BLOCK)):
        result = analyze(run, store, "--measure", "moments,spectrum", *COMMON, *options)
        assert result.exit_code == 0
    assert result.stdout.startswith("everything is already there")
    rows = open_store(store).sql("select distinct measure, component from estimates order by all")
    assert [tuple(row) for row in rows.to_numpy()] == [
        ("moments", ""),
        ("moments", "0"),
        ("moments", "2"),
        (f"moments params={BLOCK}", f"params={BLOCK}"),
        (f"moments params={BLOCK}", f"params={BLOCK} 0"),
    ]
    whole, block = (found(store, component)["trace"][0] for component in ("0", f"params={BLOCK}"))
    assert block == pytest.approx(whole, rel=0.05)  # the exact trace of the layer, and probes of it alone
    assert open_store(store).results()["trace"].tolist() == [found(store)["trace"][0]]
    arrays = open_store(store).sql("select measure, count(*) as n from arrays group by all order by all")
    assert arrays["measure"].tolist() == ["spectrum", f"spectrum params={BLOCK}"]


def test_the_file_may_say_what_decays_and_the_loss_only_with_leave(run: Path, tmp_path: Path) -> None:
    spec = json.loads((run / "problem.json").read_text())
    (run / "problem.json").write_text(json.dumps({**spec, "loss": "tests.user_losses:smoothed", "weight_decay": W}))
    refused = analyze(run, tmp_path / "store", "--measure", "gradient")
    assert refused.exit_code == 2
    assert "give --loss tests.user_losses:smoothed to allow it" in refused.output
    assert analyze(run, tmp_path / "store", "--measure", "gradient", *COMMON, "--loss", spec["loss"]).exit_code == 0
    value, *_ = truth(run, surprise, W)
    assert found(tmp_path / "store")["loss"][0] == pytest.approx(value, rel=1e-12)


TRAINED = "CrossEntropyLoss(weight=[1.0, 3.0, 0.5], label_smoothing=0.1)"


def test_a_loss_is_stored_as_it_was_named(run: Path, tmp_path: Path) -> None:
    """The text is part of the task, and the reduction is the loss's own."""
    weighted = partial(nn.functional.cross_entropy, weight=WEIGHTS.double(), label_smoothing=0.1)
    names = {
        TRAINED: (weighted, "mean"),
        f"{TRAINED[:-1]}, reduction='sum')": (partial(weighted, reduction="sum"), "sum"),
        "cross_entropy(label_smoothing=0.1)": (partial(nn.functional.cross_entropy, label_smoothing=0.1), "mean"),
        "torch.nn:CrossEntropyLoss": (nn.functional.cross_entropy, "mean"),
        "tests.user_losses:made": (weighted, "mean"),
        "tests.user_losses:criterion": (weighted, "mean"),
    }
    for name in names:
        result = analyze(run, tmp_path / "store", "--measure", "gradient", *COMMON, "--loss", name)
        assert result.exit_code == 0, result.output
    rows = open_store(tmp_path / "store").sql(
        "select loss, reduction, value from tasks join estimates using (task_id) where quantity = 'loss'"
    )
    assert sorted(rows["loss"]) == sorted(names)
    for row in rows.itertuples():
        function, reduction = names[row.loss]
        value, *_ = truth(run, lambda f, y, function=function: function(f, y), 0.0)
        assert (row.value, row.reduction) == (pytest.approx(value, rel=1e-12), reduction), row.loss


def test_a_store_of_blocks_alone(run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert analyze(run, store, "--measure", "gradient", *COMMON, "--params", BLOCK).exit_code == 0
    assert f"in estimates, by component: params={BLOCK}\n" in invoke("show", store).output
    drawn = invoke("plot", store, tmp_path / "x.png")
    assert drawn.exit_code == 2
    assert drawn.output.endswith("of a whole model to draw; blocks rest in estimates\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--loss", "tests.user_losses:averaged"),
            "loss tests.user_losses:averaged returned shape () for 4 sample(s); return one number a sample, shape "
            '(B,): reduction="none" where torch has one',
        ),
        (
            ("--loss", "tests.user_losses:regression"),
            "loss tests.user_losses:regression raised RuntimeError: The size of tensor a (3) must match the size of "
            "tensor b (4) at non-singleton dimension 1; it is given outputs of shape (4, 3), torch.float32, and "
            "targets of shape (4,), torch.int64; make it take these",
        ),
        (
            ("--loss", "tests.user_losses:none"),
            "--loss tests.user_losses:none: module tests.user_losses has no none; name a function that it defines",
        ),
        (
            ("--params", "conv"),
            "params 'conv' is found in no name of a trainable parameter; there are 0.weight, 0.bias, 2.weight, 2.bias",
        ),
        (
            ("--params", "["),
            "params '[' is no regular expression (unterminated character set at position 0); give one like '^0[.]' or "
            "'weight$'",
        ),
        (("--weight-decay", "-1"), "weight_decay is -1.0; it must be at least 0 and finite"),
        (
            ("--loss", "logistic"),
            "y has shape (20,) but the model has 3 outputs; use cross_entropy, which fits them",
        ),
    ],
)
def test_misuse_is_one_line(run: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    result = analyze(run, tmp_path / "store", "--measure", "moments", *options)
    assert (result.exit_code, result.output) == (2, f"scalecurv: {said}\n")
    assert not (tmp_path / "store").exists()
