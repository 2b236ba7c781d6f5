"""Stability of SGD: below the exact threshold of the moment operator, and the curvature of batches by enumeration."""

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.geometry.mean_square import threshold_in, without_replacement
from scalecurv.measures import Sgd
from scalecurv.measures.batch_sharpness import batch_sharpness, draw_probabilities, drawn_batch
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.stability import sample_norms
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.statistics.estimate import Estimate, Status
from tests.calibration import assert_calibrated
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, mlp, problem


def sample_hessians(at: Problem) -> list[np.ndarray]:
    """Return the Hessian of N c loss_i for each sample."""
    alone = [at.of_some(torch.tensor([i])) for i in range(at.num_data)]
    return [(dense_at(one).hessian * at.num_data * at.scale / one.scale).numpy() for one in alone]


@cache
def interpolating(N: int = 10) -> Problem:
    """Return a tanh network fitted to all targets, where H is positive semidefinite."""
    torch.manual_seed(0)
    x, y = torch.randn(N, 3, dtype=torch.float64), torch.randn(N, 1, dtype=torch.float64) / 2
    model = mlp(nn.Tanh, (3, 5, 1)).double()
    descent = torch.optim.LBFGS(
        model.parameters(), max_iter=4000, tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        descent.zero_grad()
        value = (model(x) - y).square().mean() / 2
        value.backward()
        return value

    descent.step(loss)
    assert float(loss().detach()) < 1e-12
    return Problem(model, (x, y), "mse")


def asked(at: Problem, seed: int = 0, **options: object) -> dict[tuple[str, str], Estimate]:
    return dict(Sgd(**options).compute(Evaluation(at, seed)).parts)


SIZES = (1, 2, 5, 10)


@each(route=["dense", "sampled", "generic"])
def test_bounds_are_below_the_threshold_of_the_whole_moment_operator(route: str) -> None:
    """The largest generalised eigenvalue over all symmetric V, of 26 x 26, against those within six vectors."""
    at = interpolating()
    each = sample_hessians(at)
    mean, pairs = np.mean(each, 0), np.mean([np.kron(h, h) for h in each], 0)
    top = float(np.linalg.eigvalsh(mean)[-1])
    found = asked(at, sgd_batches=SIZES, route=route, max_matvecs=300)
    for B in SIZES:
        q, bound = without_replacement(B, at.num_data), found["sgd_threshold", f"batch={B}"]
        exact = threshold_in(mean, pairs, q)
        assert bound.lower <= exact * (1 + 1e-9)
        assert bound.lower >= 0.8 * exact
        assert bound.lower >= top * (1 - 1e-9)
    assert found["sgd_threshold", "batch=10"].value == pytest.approx(top, rel=1e-6)


def test_the_threshold_is_where_the_second_moment_begins_to_grow() -> None:
    """The spectral radius of the moments' own recursion, all batches enumerated, is 1 at the threshold."""
    rng = np.random.default_rng(0)
    for B in (1, 2, 3):
        factors = rng.standard_normal((4, 3, 3))
        each = [f @ f.T for f in factors]
        mean, pairs = np.mean(each, 0), np.mean([np.kron(h, h) for h in each], 0)
        bound = threshold_in(mean, pairs, without_replacement(B, 4))
        for factor, stable in ((0.999, True), (1.001, False)):
            eta = 2 / bound * factor
            steps = [np.eye(3) - eta * np.mean([each[i] for i in b], 0) for b in combinations(range(4), B)]
            moments = np.mean([np.kron(s, s) for s in steps], 0)
            assert (np.abs(np.linalg.eigvals(moments)).max() < 1) == stable


def every_batch(at: Problem, size: int) -> tuple[float, float]:
    """Return the means of g_b'H_b g_b and |g_b|^2 over all batches of this size."""
    H, alone = sample_hessians(at), [at.of_some(torch.tensor([i])) for i in range(at.num_data)]
    g = [(dense_at(one).gradient * at.num_data * at.scale / one.scale).numpy() for one in alone]
    terms, w = [], at.weight_decay
    for chosen in combinations(range(at.num_data), size):
        slope = np.mean([g[i] for i in chosen], 0) + w * at.theta.numpy()
        bent = np.mean([H[i] for i in chosen], 0) @ slope + w * slope
        terms.append((slope @ bent, slope @ slope))
    bend, square = np.mean(terms, 0)
    return float(bend), float(square)


@each(
    ("name", "reduction", "decay"),
    [("relu", "mean", 0.1), ("tanh", "sum", 0.0), ("conv", "sum", 0.1), ("tied", "mean", 0.0)],
    options=[{}, {"batch_size": 2}],
)
def test_batches_of_a_size_are_those_that_can_be_drawn(
    name: str, reduction: str, decay: float, options: dict[str, int]
) -> None:
    """Exact for single samples and for all; for others against the mean over all 35 batches."""
    at = problem(name, "cross_entropy", reduction, weight_decay=decay, **options)
    found = asked(at, sgd_batches=(1, 3, 7), max_matvecs=192)
    for B in (1, 3, 7):
        bend, square = every_batch(at, B)
        estimate, wanted = found["batch_sharpness", f"batch={B}"], bend / square
        if B == 3:
            assert abs(estimate.value - wanted) <= 4.5 * estimate.stderr
            assert estimate.stderr < 0.15 * abs(wanted)
        else:
            assert estimate.status is Status.EXACT
            assert estimate.value == pytest.approx(wanted, rel=1e-9)


@each(B=[1, 2, 5])
def test_weights_make_batches_uniform(B: int) -> None:
    """Each of C(7, B) batches has the same weighted chance; gradients of samples are those of autograd."""
    at = problem("tanh", "cross_entropy")
    p = draw_probabilities(Evaluation(at))
    alone = [at.of_some(torch.tensor([i])) for i in range(7)]
    squares = np.array([float(dense_at(one).gradient.square().sum()) for one in alone])
    r = (at.outputs(at.theta, at.x).softmax(1) - torch.eye(3)[at.y]).square().sum(1).numpy()
    bends = squares**2 / r
    np.testing.assert_allclose(p, (1 / 7 + squares / squares.sum() + bends / bends.sum()) / 3, rtol=1e-6)
    total: dict[tuple[int, ...], float] = {}
    for index in range(6000):
        rows, weight = drawn_batch(0, index, B, p)
        total[tuple(rows)] = total.get(tuple(rows), 0.0) + weight / 6000
    count = len(list(combinations(range(7), B)))
    assert len(total) == count
    np.testing.assert_allclose(list(total.values()), 1 / count, atol=4.5 * (3 / count / 6000) ** 0.5)


def test_intervals_of_batch_sharpness_hold_it() -> None:
    at = Problem(problem("relu").model, data("cross_entropy", num_data=12), "cross_entropy", weight_decay=0.1)
    bend, square = every_batch(at, 3)
    found = [batch_sharpness(Evaluation(at, seed), 3, 0.0, 48) for seed in range(80)]
    assert_calibrated(found, bend / square)


@each(many=[False, True])
def test_the_norms_of_samples_come_from_all_or_from_a_draw(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.measures.stability.SAMPLES", 40)
    at = Problem(problem("tanh").model, data("mse", num_data=60 if many else 12), "mse")
    truth = float(np.mean([(h**2).sum() for h in sample_hessians(at)]))
    found = [sample_norms(Evaluation(at, seed)) for seed in range(30)]
    assert sum(e.lower <= truth <= e.upper for e in found) >= 24
    assert abs(np.mean([e.value for e in found]) - truth) <= 4 * np.mean([e.stderr for e in found]) / 30**0.5


def test_the_identity_is_left_out_where_h_is_indefinite() -> None:
    """F / T then exceeds lambda_max, although full batches are stable up to 2 / lambda_max along all that bends up."""
    at = problem("one output")
    H = dense_at(at).hessian
    top = float(torch.linalg.eigvalsh(H)[-1])
    assert float((H**2).sum() / H.trace()) > 1.2 * top
    assert asked(at)["sgd_threshold", "batch=4"].value > top
    whole = asked(at, sgd_batches=(300,))["sgd_threshold", "batch=7"]  # those that the data has
    assert whole.value == pytest.approx(top, rel=1e-6)


def test_what_has_no_threshold_says_so() -> None:
    concave = asked(Problem.quadratic(-1.0, -2.0), sgd_batches=(1,))["sgd_threshold", "batch=1"]
    assert concave.method == "H has no positive Ritz value: no step size is too large"
    assert concave.status is Status.NOT_APPLICABLE


class Once(torch.autograd.Function):
    """The square, whose second derivative cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return Twice.apply(slope, ctx.saved_tensors[0])


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slope: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slope, x)
        return 2 * x * slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slope, x = ctx.saved_tensors
        return 2 * x * up, 2 * slope * up


def test_a_model_without_a_third_derivative_fails_here_alone() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(nn.Tanh, (6, 3)).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Once.apply(self.inner(x))

    found = asked(Problem(Squared(), data("mse"), "mse"), sgd_batches=(1, 7))
    assert {e.status for (name, _), e in found.items() if name == "sgd_threshold"} == {Status.FAILED}
    assert found["sgd_threshold", "batch=1"].method.startswith("the curvature of single samples does not add up")
    assert found["batch_sharpness", "batch=7"].status is Status.EXACT


@each(given=[(), (0,), (1.5,), "4", 4, (True,)])
def test_batch_sizes_are_counts(given: object) -> None:
    with pytest.raises(Misuse, match=r"^sgd_batches is .*; give batch sizes, such as \(1, 16, 256\)$"):
        Sgd(sgd_batches=given)
    with pytest.raises(Misuse, match=r"^sgd_batches has 4 twice; give each batch size once$"):
        Sgd(sgd_batches=(4, 1, 4))


def test_samples_on_ranks_are_refused() -> None:
    at = problem("relu")
    at.shard = Shard(0, 2)
    with pytest.raises(Misuse, match=r"^measure sgd needs all samples in one place, .*; give --plan checkpoints or"):
        Sgd(route="generic").check(at)


def test_batches_do_not_depend_on_each_other() -> None:
    few, many = (asked(problem("relu"), sgd_batches=sizes, max_matvecs=80) for sizes in ((2,), (1, 2, 4)))
    assert few["sgd_threshold", "batch=2"] == many["sgd_threshold", "batch=2"]
