"""Every loss behind a network: products and sums against derivatives of torch's own function, written out."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.measures import Curvature, GaussNewton, Moments
from scalecurv.measures.curvature.semidefinite import interpolates
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import runner_up, ulps_of_outputs
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.graphs import batch_loss
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from tests.networks import fitted
from tests.problem.loss_cases import Case, N, cases, normal

LAST = {"nll": nn.LogSoftmax(1), "NLL": nn.LogSoftmax(1), "KLD": nn.LogSoftmax(1), "BCELoss": nn.Sigmoid()}
X = normal(2, seed=9)


def net(case: Case, *hidden: nn.Module) -> nn.Module:
    """Return a network with outputs of the case's shape, and of its kind: log-probabilities, probabilities, rates."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = case.rows.shape[1]
        layers = [nn.Linear(2, 2), *(hidden or (nn.Tanh(),)), nn.Linear(2, size)]
    if len(case.shape) != 1:
        layers.append(nn.Unflatten(1, case.shape) if case.shape else nn.Flatten(0))
    last = [module for start, module in LAST.items() if case.name.startswith(start)]
    rates = [nn.Softplus()] if "log_input=False" in case.name else []
    return nn.Sequential(*layers, *last, *rates).double()


class Truth:
    """Loss, gradient, H and G = J'MJ of torch's mean at the parameters of a model, by plain autograd."""

    def __init__(self, case: Case, model: nn.Module):
        self.shapes = {name: p.shape for name, p in model.named_parameters()}
        self.theta = nn.utils.parameters_to_vector(model.parameters()).detach().requires_grad_()
        y = case.y.double() if case.loss.float_targets and case.y.shape == case.f.shape else case.y
        f = self.outputs(model)
        with twice_differentiable():  # margins have no second derivative in torch
            loss = case.mean(f, y)
        (g,) = torch.autograd.grad(loss, self.theta, create_graph=True)
        inner = f.detach().requires_grad_()
        with twice_differentiable():
            (slope,) = torch.autograd.grad(case.mean(inner, y), inner, create_graph=True)
        J, M = rows(f.reshape(-1), self.theta), rows(slope.reshape(-1), inner)
        self.loss, self.gradient = float(loss.detach()), g.detach()
        self.hessian, self.gauss_newton = rows(g, self.theta), J.T @ M @ J

    def outputs(self, model: nn.Module) -> Tensor:
        parts = self.theta.split([shape.numel() for shape in self.shapes.values()])
        state = {n: t.view(s) for (n, s), t in zip(self.shapes.items(), parts, strict=True)}
        return functional_call(model, state, (X,))


def rows(values: Tensor, at: Tensor) -> Tensor:
    """Return the derivative of each value, one below the other."""
    if not values.requires_grad:
        return torch.zeros(values.numel(), at.numel(), dtype=at.dtype)
    found = [torch.autograd.grad(v, at, retain_graph=True, allow_unused=True)[0] for v in values.unbind()]
    return torch.stack([torch.zeros_like(at) if row is None else row for row in found]).flatten(1)


def test_products_are_those_of_the_loss_that_torch_computes() -> None:
    for case in cases():
        model = net(case)
        truth, at = Truth(case, model), Problem(model, (X, case.y), case.criterion, batch_size=2)
        value, gradient = loss_and_gradient(at)
        eye = torch.eye(at.num_params, dtype=torch.float64)
        assert value == pytest.approx(truth.loss, rel=1e-11), case.name
        torch.testing.assert_close(gradient, truth.gradient, rtol=0, atol=1e-12, msg=case.name)
        for operator, dense in ((HessianOperator, truth.hessian), (GaussNewtonOperator, truth.gauss_newton)):
            torch.testing.assert_close(operator(at) @ eye, dense, rtol=0, atol=1e-11, msg=f"{case.name}, {operator}")
        preflight(at)


def test_ranks_that_each_hold_some_samples_add_up() -> None:
    """c is the same on all ranks: one over what the samples of all count together."""
    for case in cases():
        model = net(case)
        whole = Problem(model, (X, case.y), case.criterion)
        parts = [Problem(model, (X, case.y), case.criterion, shard=Shard(rank, 2), batch_size=2) for rank in range(2)]
        assert {part.scale for part in parts} == {whole.scale}, case.name
        added = sum(
            float(batch_loss(part, batch)(part.theta).detach()) for part in parts for batch in part.own_batches()
        )
        assert added == pytest.approx(loss_and_gradient(whole)[0], rel=1e-12), case.name


STRUCTURED = (
    "cross_entropy(weight=[1.0, 3.0, 0.5], label_smoothing=0.2, ignore_index=-1)",
    "logistic of (5, 3)",
    "logistic(weight",
    "BCEWithLogitsLoss of (5, 3)",
    "MSELoss of (5,",
    "HuberLoss",
    "poisson of",
)


def test_the_exact_route_gives_the_numbers_of_the_loss_that_was_trained() -> None:
    found = [case for case in cases() if case.name.startswith(STRUCTURED) and len(case.shape) == 1]
    found = [case for case in found if case.f.shape == (N, 3)]
    assert len(found) > 4
    for case in found:
        model = net(case, nn.ReLU())
        truth, at = Truth(case, model), Problem(model, (X, case.y), case.criterion)
        estimates = Moments(route="exact").compute(Evaluation(at)).estimates
        H, G = truth.hessian, truth.gauss_newton
        assert estimates["trace"].value == pytest.approx(float(H.trace()), rel=1e-11), case.name
        assert estimates["trace_h2"].value == pytest.approx(float((H**2).sum()), rel=1e-11), case.name
        assert {str(e.status) for e in estimates.values()} == {"exact"}, case.name
        ggn = GaussNewton(route="exact").compute(Evaluation(at)).estimates
        top = float(torch.linalg.eigvalsh(G)[-1])
        assert ggn["euler_bound"].value <= top * (1 + 1e-12), case.name
        assert ggn["lambda_max_ggn"].lower <= top * (1 + 1e-9), case.name
        assert top * (1 - 1e-9) <= ggn["lambda_max_ggn"].upper, case.name


def test_rounding_where_all_is_certain_grows_with_the_weights() -> None:
    sure = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        sure[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    x, y = torch.tensor([[20.0], [-25.0]], dtype=torch.float64), torch.tensor([0, 1])
    noises = []
    for text in ("cross_entropy", "cross_entropy(weight=[1, 100])"):
        at = Problem(sure, (x, y), text, reduction="sum")
        assert runner_up(at) < 1e-15
        noises.append(ulps_of_outputs(Evaluation(at)).norm)
    assert noises[1] == pytest.approx(100 * noises[0], rel=1e-12)


def test_a_squared_error_of_torch_is_fitted_exactly_too() -> None:
    at = fitted()
    for loss, found in ((nn.MSELoss(), True), ("mse", True), ("huber", False), (nn.MSELoss(reduction="sum"), True)):
        other = Evaluation(Problem(at.model, (at.x, at.y), loss))
        assert interpolates(other) == found
        chain = Curvature().compute(other).estimates["chain_1"].status
        assert (str(chain) == "not_applicable") != found
