"""What people bring, as it is: each report in a notebook and by the command, with its value from plain autograd."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalecurv import Problem, hessian
from scalecurv.results.query import open_store
from tests.checkpoints.formats import mlp_of
from tests.checkpoints.test_format_table import STATE
from tests.checkpoints.wrapped import WRAPPED
from tests.commands import analyze
from tests.reports import REPORTS, Report, focal


def model_of(report: Report) -> nn.Module:
    torch.manual_seed(0)
    return report.model().double().eval()


def dense(report: Report, model: nn.Module) -> tuple[float, Tensor]:
    """Return loss and Hessian by plain autograd."""
    parameters, loss = list(model.parameters()), report.truth(model)
    entries = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])
    rows = (torch.autograd.grad(g, parameters, retain_graph=True, materialize_grads=True) for g in entries)
    return float(loss.detach()), torch.stack([torch.cat([h.flatten() for h in row]) for row in rows])


@pytest.mark.parametrize("name", REPORTS)
def test_in_a_notebook(name: str) -> None:
    report = REPORTS[name]
    model = model_of(report)
    H = dense(report, model)[1]
    problem = Problem(model, report.data(), report.loss)
    torch.testing.assert_close(torch.as_tensor(hessian(problem).to_dense()), H, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", REPORTS)
def test_by_the_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = REPORTS[name]
    here = ModuleType("reports_here")
    here.data, here.model, here.focal = report.data, lambda: report.model().double(), focal  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reports_here", here)
    model = model_of(report)
    (tmp_path / "run").mkdir()
    torch.save(model.state_dict(), tmp_path / "run" / "step_1.pt")
    loss = report.named or report.loss
    words = ("--data", "reports_here:data", "--model", "reports_here:model", "--loss", loss, "--measure", "loss,trace")
    said = analyze(tmp_path / "run", tmp_path / "store", *words)
    assert said.exit_code == 0, said.output
    rows = open_store(tmp_path / "store").sql("select * from estimates where component = ''").set_index("quantity")
    value, H = dense(report, model)
    assert rows.loc["loss", "value"] == pytest.approx(value, rel=1e-9)
    assert rows.loc["trace", "value"] == pytest.approx(float(H.trace()), rel=1e-9, abs=1e-12)
    assert rows.loc["trace", "status"] in ("exact", "certified")  # the second where only autograd knows the loss


def test_checkpoints_with_whatever_lies_beside_the_weights(tmp_path: Path) -> None:
    """In one sweep, of which no file fails; then the average that lies beside the weights in one of them."""
    run, x, y = tmp_path / "run", torch.randn(9, 6), torch.randint(0, 3, (9,))
    paths = {}
    for step, (name, writer) in enumerate(WRAPPED.items()):
        (run / str(step)).mkdir(parents=True)
        paths[name] = writer(run / str(step), STATE, step)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    words = ("--data", tmp_path / "data.npz", "--loss", "cross_entropy", "--activation", "relu", "--dtype", "float64")
    said = analyze(run, tmp_path / "store", *words)
    assert said.exit_code == 0, said.output
    rows = open_store(tmp_path / "store").sql("select loss, step from results order by step")
    assert list(rows["step"]) == list(range(len(WRAPPED)))
    truth = float(F.cross_entropy(mlp_of(STATE).double()(x.double()), y).detach())
    assert list(rows["loss"]) == pytest.approx([truth] * len(WRAPPED), rel=1e-9)

    said = analyze(paths["an average (EMA) beside"], tmp_path / "averages", *words, "--weights", "ema_state_dict")
    assert said.exit_code == 0, said.output
    (loss,) = open_store(tmp_path / "averages").results()["loss"]
    doubled = mlp_of({name: 2 * tensor for name, tensor in STATE.items()}).double()
    assert loss == pytest.approx(float(F.cross_entropy(doubled(x.double()), y).detach()), rel=1e-9)
