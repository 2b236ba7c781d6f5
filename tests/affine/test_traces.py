"""tr G by tensor and by sample of every network, against written-out Jacobians."""

import copy

import torch
from torch import Tensor

from scalecurv.affine.formulas import plan_of
from scalecurv.affine.single_samples import is_vectorised
from scalecurv.affine.traces import output_probe_terms, sample_traces, tensor_traces
from scalecurv.linalg.probes import probes
from scalecurv.problem.problem import Problem
from tests.affine.nets import MAKERS, NUM_DATA, net
from tests.affine.oracle import dense_terms, sign_terms

LOSSES = ("mse", "cross_entropy")
# no formula: these are taken sample by sample, vectorised where torch.func takes the model
WITHOUT_FORMULA = {
    "weight norm": ["0.parametrizations.weight.original0", "0.parametrizations.weight.original1"],
    "transposed conv": ["0.weight", "0.bias"],
    "tied tokens": ["words.weight"],
    "rnn": ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"],
    "lstm": ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"],
}
WITH_COPIES = ("rnn", "lstm")


def off(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a share of the largest number."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def agree(problem: Problem, tolerance: float = 1e-12, wanted: Tensor | None = None) -> bool:
    """Return True where both traces are those of the dense terms (N, tensors), weight decay added by tensor."""
    wanted = dense_terms(problem) if wanted is None else wanted
    sizes = torch.tensor([float(shape.numel()) for shape in problem.space.shapes.values()], dtype=torch.float64)
    traces = tensor_traces(problem, list(problem.space.shapes))
    by_tensor = off(traces, wanted.sum(0) + problem.weight_decay * sizes)
    by_sample = off(sample_traces(problem), wanted.sum(1))
    assert traces.dtype == sample_traces(problem).dtype == torch.float64
    return max(by_tensor, by_sample) < tolerance


def trained(problem: Problem, steps: int = 5) -> Problem:
    """Return the problem after a few steps of gradient descent."""
    model = copy.deepcopy(problem.model)
    theta = problem.theta.clone()
    for _ in range(steps):
        point = theta.requires_grad_()
        loss = problem.loss.total(problem.outputs(point, problem.x), problem.y) / NUM_DATA
        theta = (point - 0.1 * torch.autograd.grad(loss, point)[0]).detach()
    free = dict(model.named_parameters())
    for name, part in problem.space.unflatten(theta).items():
        free[name].data.copy_(part)
    return Problem(model, (problem.x, problem.y), problem.loss.name)


def test_every_network_by_tensor_and_by_sample() -> None:
    wrong = []
    for name in MAKERS:
        for loss in LOSSES:
            point = net(name).problem(loss)
            wrong += [(name, loss)] * (not agree(point))
        wrong += [(name, "trained")] * (not agree(trained(point)))
    assert wrong == []


def test_the_road_of_every_network() -> None:
    """A formula that is lost costs much and changes no number."""
    for name in MAKERS:
        point = net(name).problem()
        left = [tensor for tensor in point.space.shapes if tensor not in plan_of(point).layouts]
        assert left == WITHOUT_FORMULA.get(name, []), name
        if left:
            assert is_vectorised(point, tuple(left)) == (name not in WITH_COPIES), name
            assert is_vectorised(point, tuple(left), name in WITH_COPIES), name


def test_an_affine_tensor_has_the_trace_of_the_hessian() -> None:
    for name in ("cnn", "grouped conv", "resnet batch norm", "resnet group norm", "densenet", "prelu", "tokens", "vit"):
        for loss in LOSSES:
            point = net(name).problem(loss)
            affine = sorted(net(name).affine)
            theta = point.theta.detach().requires_grad_()
            value = point.scale * point.loss.total(point.outputs(theta, point.x), point.y)
            (slope,) = torch.autograd.grad(value, theta, create_graph=True)
            wanted = [
                sum(
                    float(torch.autograd.grad(slope[i], theta, retain_graph=True)[0][i]) for i in range(s.start, s.stop)
                )
                for s in map(point.space.slices.get, affine)
            ]
            assert off(tensor_traces(point, affine), torch.tensor(wanted, dtype=torch.float64)) < 1e-12, (name, loss)


def test_output_probes_are_squares_of_the_pulled_signs() -> None:
    for name in ("cnn", "resnet batch norm", "vit", "tied tokens", "lstm", "bag of words", "rare branch"):
        point = net(name).problem("cross_entropy", weight_decay=0.3)
        names, D = list(point.space.shapes), point.num_outputs
        signs = probes(NUM_DATA * D, 7, "output probes", [2], dtype=torch.float64)[:, 0].view(NUM_DATA, D)
        sizes = torch.tensor([float(shape.numel()) for shape in point.space.shapes.values()], dtype=torch.float64)
        wanted = sign_terms(point, signs) + 0.3 * sizes / NUM_DATA
        assert off(torch.from_numpy(output_probe_terms(point, names, 7, 2)), wanted) < 1e-12, name
        some = names[1:3]
        assert off(torch.from_numpy(output_probe_terms(point, some, 7, 2)), wanted[:, 1:3]) < 1e-12, name
