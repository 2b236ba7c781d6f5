"""The smallest trace over rescalings: against a minimisation of its own, and unmoved by what moves no function."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from scalecurv.geometry.rescaled import Rescaled
from scalecurv.measures import Rescaling
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings
from scalecurv.measures.rescaling import _estimate
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.loss import Loss
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, fitted, network, problem
from tests.piecewise import SHAPES

CASES = [
    ("one output", "mse", "sum"), ("two hidden", "mse", "mean"), ("two hidden", "cross_entropy", "sum"),
    ("no biases", "cross_entropy", "mean"), ("some biases", "mse", "mean"),
]  # fmt: skip
by_case = each(("shape", "loss", "reduction"), CASES)


def network_of(shape: str) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SHAPES[shape].build().double()


def at(model: nn.Module, shape: str, loss: str, reduction: str = "mean") -> Problem:
    rng = torch.Generator().manual_seed(1)
    widths = SHAPES[shape].widths
    x = torch.randn(7, widths[0], generator=rng, dtype=torch.float64)
    y = torch.randn(7, widths[-1], generator=rng, dtype=torch.float64)
    return Problem(model, (x, y if loss == "mse" else y.argmax(1)), loss, reduction=reduction)  # type: ignore[arg-type]


def ask(point: Problem, max_matvecs: int = 1000) -> Findings:
    return Rescaling(max_matvecs).compute(Evaluation(point))


def linears(model: nn.Module) -> list[nn.Linear]:
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


def rescaled(model: nn.Module, factors: Tensor) -> nn.Module:
    """Multiply all that comes into each hidden neuron by its factor, and divide by it what goes out."""
    model, start = copy.deepcopy(model), 0
    for layer, after in pairwise(linears(model)):
        alpha = factors[start : start + layer.out_features]
        layer.weight.data *= alpha[:, None]
        if layer.bias is not None:
            layer.bias.data *= alpha
        after.weight.data /= alpha
        start += layer.out_features
    return model


def in_and_out(model: nn.Module) -> tuple[Tensor, Tensor]:
    """|in|^2 and |out|^2 of each hidden neuron, the bias with in."""
    coming, going = [], []
    for layer, after in pairwise(linears(model)):
        bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
        coming.append((layer.weight.detach() ** 2).sum(1) + bias**2)
        going.append((after.weight.detach() ** 2).sum(0))
    return torch.cat(coming), torch.cat(going)


def minimised(point: Problem) -> float:
    """The least sum of diag H at factors e^t, by BFGS, from the dense Hessian's diagonal."""
    parts = point.space.unflatten(dense_at(point).hessian.diag())
    names = [name for name, m in point.model.named_modules() if isinstance(m, nn.Linear)]
    sizes = [m.out_features for m in linears(point.model)[:-1]]

    def total(logs: np.ndarray) -> tuple[float, np.ndarray]:
        t = torch.tensor(logs, requires_grad=True)
        square = [torch.ones(1).double(), *((2 * part).exp() for part in t.split(sizes)), torch.ones(1).double()]
        whole = torch.zeros(()).double()
        for name, before, after in zip(names, square, square[1:], strict=False):
            whole = whole + (parts[f"{name}.weight"] * before / after[:, None]).sum()
            if f"{name}.bias" in parts:
                whole = whole + (parts[f"{name}.bias"] / after).sum()
        whole.backward()
        assert t.grad is not None
        return whole.item(), t.grad.numpy()

    return float(minimize(total, np.zeros(sum(sizes)), jac=True, method="BFGS", options={"gtol": 1e-9}).fun)


@by_case
def test_it_is_the_minimum(shape: str, loss: str, reduction: str) -> None:
    """Of a minimiser that knows nothing of it, and the trace of the network that its factors make."""
    point = at(network_of(shape), shape, loss, reduction)
    findings = ask(point)
    found, factors = findings.estimates["trace_rescaled"], torch.from_numpy(findings.arrays["rescaling_factors"])
    assert found.status is Status.EXACT
    assert found.value == pytest.approx(minimised(point), rel=1e-9)
    assert found.value <= dense_at(point).trace()
    known = torch.where(factors.isnan(), 1.0, factors)
    if not factors.isnan().any():
        attained = dense_at(at(rescaled(point.model, known), shape, loss, reduction)).trace()
        assert attained == pytest.approx(found.value, rel=1e-9)
    assert ("infimum" in found.method) == bool(factors.isnan().any())
    rng = torch.Generator().manual_seed(2)
    for _ in range(3):
        others = known * torch.randn(len(known), generator=rng, dtype=torch.float64).mul(0.1).exp()
        assert found.value < dense_at(at(rescaled(point.model, others), shape, loss, reduction)).trace()


@by_case
def test_a_rescaled_network_has_the_same(shape: str, loss: str, reduction: str) -> None:
    point = at(network_of(shape), shape, loss, reduction)
    first = ask(point)
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        alpha = torch.randn(len(first.arrays["balancedness"]), generator=rng, dtype=torch.float64).exp()
        other = ask(at(rescaled(point.model, alpha), shape, loss, reduction))
        wanted = first.estimates["trace_rescaled"].value
        assert other.estimates["trace_rescaled"].value == pytest.approx(wanted, rel=1e-12)
        factors = torch.from_numpy(other.arrays["rescaling_factors"]) * alpha
        live = first.arrays["rescaling_factors"] != 1  # the rest cost nothing whatever their factor
        np.testing.assert_allclose(factors[live], first.arrays["rescaling_factors"][live], rtol=1e-5)


def test_the_order_of_neurons_is_not_seen() -> None:
    model, order = network_of("two hidden"), torch.tensor([3, 0, 4, 1, 2])
    first = ask(at(model, "two hidden", "mse"))
    for p in (model[0].weight.data, model[0].bias.data, model[2].weight.data.T):
        p.copy_(p[order].clone())
    other = ask(at(model, "two hidden", "mse"))
    for name, estimate in first.estimates.items():
        assert other.estimates[name].value == pytest.approx(estimate.value, rel=1e-12)
    for name, array in first.arrays.items():
        np.testing.assert_allclose(other.arrays[name], array[[*order, *range(5, 9)]], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("eta", [0.01, 0.3])
@by_case
def test_balancedness_and_what_a_step_makes_of_it(shape: str, loss: str, reduction: str, eta: float) -> None:
    model = network_of(shape)
    point = at(model, shape, loss, reduction)
    findings = ask(point)
    coming, going = in_and_out(model)
    np.testing.assert_allclose(findings.arrays["balancedness"], coming - going, rtol=1e-12, atol=1e-12)
    wanted = float((coming - going).abs().sum() / (coming + going).sum())
    assert findings.estimates["imbalance"].value == pytest.approx(wanted, rel=1e-12)
    assert 0 < wanted < 1
    stepped = copy.deepcopy(model)
    for name, change in point.space.unflatten(dense_at(point).gradient).items():
        stepped.get_parameter(name).data -= eta * change
    after, before = (torch.sub(*in_and_out(m)) for m in (stepped, model))
    drift = findings.arrays["balancedness_drift"]
    np.testing.assert_allclose(after - before, eta**2 * drift, rtol=1e-9, atol=1e-12)
    assert np.abs(drift).max() > 0


def test_a_balanced_network_has_no_imbalance_and_a_cut_one_all_there_is() -> None:
    model = network_of("one output")
    coming, going = in_and_out(model)
    balanced = rescaled(model, (going / coming) ** 0.25)
    assert ask(at(balanced, "one output", "mse")).estimates["imbalance"].value == pytest.approx(0, abs=1e-12)
    linears(model)[1].weight.data.zero_()
    assert ask(at(model, "one output", "mse")).estimates["imbalance"].value == 1
    for p in model.parameters():
        p.data.zero_()
    nothing = ask(at(model, "one output", "mse")).estimates
    assert nothing["imbalance"].value == 0
    assert nothing["trace_rescaled"].value == pytest.approx(dense_at(at(model, "one output", "mse")).trace(), rel=1e-12)


def test_a_neuron_that_costs_on_one_side_has_no_best_factor() -> None:
    model = network_of("one output")
    linears(model)[1].weight.data[0, 2] = 0
    linears(model)[0].bias.data.fill_(3.0)  # all of them on
    findings = ask(at(model, "one output", "mse"))
    assert np.isnan(findings.arrays["rescaling_factors"]).tolist() == [False, False, True, False]
    assert findings.estimates["trace_rescaled"].method.endswith(" sweep(s), an infimum that no factors attain")
    assert findings.estimates["trace_rescaled"].value == pytest.approx(minimised(at(model, "one output", "mse")), 1e-6)


def test_without_hidden_neurons_it_is_the_trace() -> None:
    findings = ask(point := at(network_of("one layer"), "one layer", "mse"))
    assert findings.estimates["trace_rescaled"].value == pytest.approx(dense_at(point).trace(), rel=1e-12)
    assert findings.estimates["imbalance"].value == 0
    assert [len(array) for array in findings.arrays.values()] == [0, 0, 0]


@each(name=["tanh", "conv", "tied", "hardtanh"])
def test_what_cannot_be_rescaled(name: str) -> None:
    point = at(network_of("wide"), "wide", "mse") if name == "hardtanh" else problem(name)
    findings = ask(point)
    assert tuple(findings.estimates) == Rescaling.quantities
    assert {e.status for e in findings.estimates.values()} == {Status.NOT_APPLICABLE}
    assert {e.method for e in findings.estimates.values()} == {"not an MLP of homogeneous activations"}
    assert findings.arrays == {}


FACTORLESS = Loss("own", lambda f, y: ((f - y) ** 2).sum() / 2, lambda y: y)
MANY = "3 backward passes are more than half of max_matvecs"
NO_DIAGONAL = [*((FACTORLESS, limit, "the loss has no known factor") for limit in (1000, 4)), ("mse", 5, MANY)]


@each(("loss", "max_matvecs", "reason"), [*NO_DIAGONAL, ("mse", 6, None)])
def test_what_has_no_diagonal_still_has_weights(loss: str | Loss, max_matvecs: int, reason: str | None) -> None:
    findings = ask(Problem(network("relu"), data("mse"), loss), max_matvecs)
    whole = ask(problem("relu"))
    found = findings.estimates["trace_rescaled"]
    assert findings.estimates["imbalance"] == whole.estimates["imbalance"]
    for name in ("balancedness", "balancedness_drift"):
        np.testing.assert_allclose(findings.arrays[name], whole.arrays[name], rtol=1e-12)
    many = reason == MANY  # which more products would change
    assert ("rescaling_factors" not in findings.arrays) == bool(reason)
    assert (found.status is Status.NOT_APPLICABLE) == (bool(reason) and not many)
    assert (found.status is Status.BUDGET and str(found) == ">= 0") == many
    assert found.method == (reason or whole.estimates["trace_rescaled"].method)


def test_single_precision_is_computed_in_double() -> None:
    single = problem("relu", dtype=torch.float32)
    assert repr(ask(single)) == repr(ask(single.astype(torch.float64)))


def test_no_product_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(self: HessianOperator, V: Tensor) -> Tensor:
        raise AssertionError("a product was taken")

    monkeypatch.setattr(HessianOperator, "_matmat", bug)
    evaluation = Evaluation(fitted())
    costs = {estimate.num_matvecs for estimate in Rescaling().compute(evaluation).estimates.values()}
    assert costs == {evaluation.total_matvecs} == {0}


@each(
    ("lower", "status"),
    [(2 - 1e-9, "exact"), (2 - 1e-8, "certified"), (1.985, "certified"), (1.975, "budget"), (1.7, "budget")],
)
def test_a_gap_that_is_left_open_is_said(lower: float, status: str) -> None:
    found = _estimate(Rescaled(2.0, lower, np.ones(1), 1000, True))
    assert (found.status, found.value, found.upper) == (status, 2, 2)
    assert found.lower == (2 if status == "exact" else lower)
    assert found.method == "balanced by 1000 sweep(s)"
