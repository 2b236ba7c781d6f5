"""Loss, slope and the curvature along it against the dense oracle, and the kinks beside them, layer by layer."""

import pytest
import torch

from scalecurv.measures import Gradient
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import CASES, data, network, oracle, problem


@each(("name", "loss", "reduction"), CASES)
def test_against_the_oracle(name: str, loss: str, reduction: str) -> None:
    truth = oracle(name, loss, reduction)
    g, Hg = truth.gradient, truth.hessian @ truth.gradient
    found = dict(Gradient().compute(Evaluation(problem(name, loss, reduction, batch_size=3))).estimates)
    noise, kinks = found.pop("noise_floor"), found.pop("kinks")
    assert {name: e.value for name, e in found.items()} == pytest.approx(
        {
            "loss": truth.loss,
            "grad_norm": float(g.norm()),
            "beta": 1 / (1 + float(g @ g)),
            "ghg": float(g @ Hg),
            "gh2g": float(Hg @ Hg),
        },
        rel=1e-11,
    )
    assert {e.status for e in found.values()} == {Status.EXACT}
    assert {name: e.num_matvecs for name, e in found.items() if e.num_matvecs} == {"ghg": 1, "gh2g": 1}
    assert repr(noise) == repr(Estimate.not_applicable("products are in float64"))
    if name in ("relu", "one output"):
        assert repr(kinks) == repr(Estimate.exact(0, "forward pass"))
    else:
        assert repr(kinks) == repr(Estimate.not_applicable("not an MLP of piecewise-linear activations"))


@each(("name", "loss", "reduction"), CASES[::4])
def test_in_double_whatever_the_problem(name: str, loss: str, reduction: str) -> None:
    """At the weights that single precision holds, for one product more; where all is in float64, the same facts."""
    point = problem(name, loss, reduction, dtype=torch.float32, batch_size=3)
    evaluation, truth = Evaluation(point), dense_at(point)
    g, Hg = truth.gradient, truth.hessian @ truth.gradient
    for _ in range(2):
        found = gradient_facts(evaluation, double=True)
        values = (found.loss, found.grad_norm, found.ghg, found.gh2g, found.beta)
        assert values == pytest.approx(
            (truth.loss, float(g.norm()), float(g @ Hg), float(Hg @ Hg), truth.beta), rel=1e-11
        )
        assert evaluation.double_hessian.num_matvecs == evaluation.total_matvecs == 1
    single = gradient_facts(evaluation)
    assert 0 < abs(single.gh2g / found.gh2g - 1) < 1e-4
    assert (evaluation.hessian.num_matvecs, evaluation.total_matvecs) == (1, 2)
    same = Evaluation(problem(name, loss, reduction))
    assert gradient_facts(same, double=True) is gradient_facts(same)
    assert same.total_matvecs == same.hessian.num_matvecs == 1


@pytest.mark.parametrize("batch_size", [None, 2])
def test_kinks_of_each_layer_sum_to_the_whole(batch_size: int | None) -> None:
    """Sample 2 is zero and the first bias too: all 5 neurons. Samples 0 to 4 meet neuron 1 of the second layer at 0."""
    model = network("relu")
    x, y = data("mse")
    x[2] = 0
    with torch.no_grad():
        model[0].bias.zero_()
        model[2].weight[1], model[2].bias[1] = 0, 0
    found = Gradient().compute(Evaluation(Problem(model, (x, y), "mse", batch_size=batch_size)))
    counts = {component: e.value for (quantity, component), e in found.parts.items() if quantity == "kinks"}
    assert counts == {"0": 5, "2": 7}
    whole = found.estimates["kinks"]
    assert (whole.value, whole.status, whole.method, whole.num_matvecs) == (12, Status.EXACT, "forward pass", 0)
    assert {e.status for e in found.parts.values()} == {Status.EXACT}


def test_kinks_are_of_the_problems_own_precision() -> None:
    """A pre-activation of 1e-9 is a kink to single precision alone."""
    model = network("one output")
    with torch.no_grad():
        model[0].weight[0] = torch.tensor([1.0, -1.0, 0, 0, 0, 0])
        model[0].bias[0] = 1e-9
    x = torch.ones(3, 6, dtype=torch.float64)
    counts = {
        dtype: Gradient()
        .compute(Evaluation(Problem(model, (x, x[:, :1]), "mse", dtype=dtype)))
        .estimates["kinks"]
        .value
        for dtype in (torch.float32, torch.float64)
    }
    assert counts == {torch.float32: 3, torch.float64: 0}


@each(name=["tanh", "conv", "tied", "partly", "batch norm"])
def test_no_kinks_are_counted_where_the_layers_are_not_known(name: str) -> None:
    assert Gradient().compute(Evaluation(problem(name))).parts == {}
