"""Flatness that rescalings leave as it is: against dense blocks of H, and unmoved where tr H is."""

import copy
import math

import pytest
import torch
from torch import nn

from scalecurv.measures import Flatness
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, mlp, network, problem

LAYERS = ("0", "2", "4")


def flatness(at: Problem) -> Findings:
    return Flatness().compute(Evaluation(at))


def rescaled(model: nn.Module, by: dict[str, torch.Tensor]) -> nn.Module:
    """Return the network with the neurons of these layers multiplied by alpha, and what they feed divided."""
    model = copy.deepcopy(model)
    after = {"0": "2", "2": "4"}
    with torch.no_grad():
        for name, alpha in by.items():
            layer, fed = model.get_submodule(name), model.get_submodule(after[name])
            layer.weight *= alpha[:, None]
            layer.bias *= alpha
            fed.weight /= alpha
    return model


@each(loss=["mse", "cross_entropy"], reduction=["mean", "sum"], options=[{}, {"batch_size": 2, "weight_decay": 0.3}])
def test_each_layer_is_the_sum_over_dense_blocks(loss: str, reduction: str, options: dict[str, object]) -> None:
    at = problem("relu", loss, reduction, **options)
    found, H, parts = flatness(at), dense_at(at).hessian, at.unflatten(at.theta)
    for name in LAYERS:
        weight, place = parts[f"{name}.weight"], at.space.slices[f"{name}.weight"]
        n, m = weight.shape
        blocks = H[place, place].reshape(n, m, n, m)
        wanted = torch.einsum("sq,tq,sptp->", weight, weight, blocks)
        assert found.parts["relative_flatness", name].value == pytest.approx(float(wanted), rel=1e-12)
        layer = at.space.layers[name]
        wanted = (at.theta[layer] ** 2 * H.diagonal()[layer]).sum()
        assert found.parts["adaptive_trace", name].value == pytest.approx(float(wanted), rel=1e-12)
    for quantity, whole in found.estimates.items():
        assert whole.value == pytest.approx(sum(found.parts[quantity, name].value for name in LAYERS), rel=1e-12)
        assert whole.status is Status.EXACT


@each(loss=["mse", "cross_entropy"])
def test_the_flatness_of_neurons_is_that_of_derivatives_by_activations(loss: str) -> None:
    """kappa' by autograd through the activations, sample by sample."""
    at = problem("relu", loss)
    found, model = flatness(at), network("relu")
    total = dict.fromkeys(LAYERS, 0.0)
    for x, y in zip(at.x, at.y, strict=True):
        a = x
        for place, name in ((0, "0"), (2, "2"), (4, "4")):
            J = torch.autograd.functional.jacobian(nn.Sequential(*list(model)[place:]), a)
            F = at.loss.factor(model(x[None]).detach(), y[None])[0]
            total[name] += at.scale * float(((F.T @ J) ** 2 @ a**2).sum())
            a = nn.Sequential(*list(model)[place : place + 2])(a).detach()
    for name in LAYERS:
        assert found.parts["relative_flatness_neuron", name].value == pytest.approx(total[name], rel=1e-12)


@each(loss=["mse", "cross_entropy"], seed=range(5))
def test_rescaling_neurons_moves_tr_h_and_neither_of_the_two(loss: str, seed: int) -> None:
    """The relative flatness of whole layers moves too, unless a layer's neurons are all rescaled by one factor."""
    model, draw = network("relu"), torch.Generator().manual_seed(seed)
    alphas = {name: torch.rand(n, generator=draw, dtype=torch.float64) * 6 - 3 for name, n in (("0", 5), ("2", 4))}
    alike = {"0": torch.full((5,), 3.0, dtype=torch.float64), "2": torch.full((4,), 0.2, dtype=torch.float64)}
    apart = {name: alpha.exp() for name, alpha in alphas.items()}
    at, moved, scaled = (
        Problem(net, data(loss), loss) for net in (model, rescaled(model, apart), rescaled(model, alike))
    )
    before, after, layerwise = flatness(at), flatness(moved), flatness(scaled)
    traces = [dense_at(point).trace() for point in (at, moved, scaled)]
    assert max(traces[1] / traces[0], traces[2] / traces[0]) > 2
    for key, estimate in before.by_component.items():
        assert layerwise.by_component[key].value == pytest.approx(estimate.value, rel=1e-12)
        if key[0] != "relative_flatness":
            assert after.by_component[key].value == pytest.approx(estimate.value, rel=1e-12)
    assert abs(after.estimates["relative_flatness"].value / before.estimates["relative_flatness"].value - 1) > 0.01


def test_other_models_and_many_outputs_are_told() -> None:
    for name in ("tanh", "conv", "tied"):
        found = flatness(problem(name)).estimates
        assert {e.status for e in found.values()} == {Status.NOT_APPLICABLE}
    assert {e.status for e in flatness(problem("relu", params="weight$")).estimates.values()} == {Status.NOT_APPLICABLE}
    huber = Problem(network("relu"), data("mse"), lambda f, y: ((f - y) ** 2).sum(1))
    assert flatness(huber).estimates["adaptive_trace"].method == "the loss has no known factor"
    many = Flatness(max_matvecs=4).compute(Evaluation(problem("relu"))).estimates["adaptive_trace"]
    assert (many.status, many.lower, many.upper) == (Status.BUDGET, 0.0, math.inf)
    assert many.method == "3 backward passes are more than half of max_matvecs"


def test_piecewise_linear_activations_of_any_kind_are_taken() -> None:
    torch.manual_seed(0)
    at = Problem(mlp(nn.Hardtanh).double(), data("mse"), "mse")
    wanted = float((at.theta**2 * dense_at(at).hessian.diagonal()).sum())
    assert flatness(at).estimates["adaptive_trace"].value == pytest.approx(wanted, rel=1e-12)
