"""The ends of the spectrum of the whole loss from a sample of its data, against dense eigenvalues."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.errors import Misuse
from scalecurv.measures import Curvature, Extremes, Moments, Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.route import Strategy
from scalecurv.measures.sample_forms import Forms, drawn_samples, forms_of
from scalecurv.measures.sampled_ends import PRODUCTS, Side, end_alone, sampled_ends, spectrum_ends
from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.statistics.estimate import Estimate, Status
from tests.digits import digits
from tests.loops import each
from tests.networks import conv, mlp

N, DRAWN = 240, 20
NETS = {
    "relu": lambda: mlp(nn.ReLU, (6, 6, 3)),
    "tanh": lambda: mlp(nn.Tanh, (6, 5, 3)),
    "conv": conv,
}


def strategy(rtol: float = 0.01, from_samples: int = DRAWN) -> Strategy:
    return Strategy(rtol, 200, 1 << 30, None, from_samples)


@cache
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means of six rows of three of the digits, and what they are."""
    x, y = digits()
    few = np.nonzero(y < 3)[0][:N]
    return torch.from_numpy(x[few].reshape(N, 8, 8)[:, 1:7].mean(2) * 3 - 1), torch.from_numpy(y[few])


def trained(name: str, steps: int) -> nn.Module:
    torch.manual_seed(0)
    model, (x, y) = NETS[name]().double(), data()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


@cache
def point(name: str, steps: int, reduction: str = "mean", decay: float = 0.0) -> Problem:
    return Problem(trained(name, steps), data(), "cross_entropy", reduction=reduction, weight_decay=decay)


def dense_of(problem: Problem) -> np.ndarray:
    H = HessianOperator(problem).matmat(torch.eye(problem.num_params, dtype=torch.float64)).numpy()
    return (H + H.T) / 2


@each(("name", "steps", "seeds"), [("relu", 0, 60), ("relu", 150, 150), *((n, s, 4) for n in NETS for s in (20, 150))])
def test_intervals_hold_the_ends(name: str, steps: int, seeds: int) -> None:
    """The outer ends hold in 95 % and more of the draws, the inner ones, Ritz values of all data, in each of them."""
    problem = point(name, steps)
    truth = np.linalg.eigvalsh(dense_of(problem))
    slack, held, values, widths = 1e-12 * abs(truth).max(), np.zeros(2), [], []
    for seed in range(seeds):
        ends = sampled_ends(Evaluation(problem, seed), strategy(), DRAWN)
        assert ends.largest.lower - slack <= truth[-1]
        assert truth[0] <= ends.smallest.upper + slack
        held += truth[-1] <= ends.largest.upper, ends.smallest.lower <= truth[0]
        values.append(ends.largest.value)
        widths.append(ends.largest.upper - ends.largest.lower)
    assert (held >= 0.95 * seeds).all(), held
    assert np.median(values) == pytest.approx(truth[-1], rel=0.05)
    assert np.median(widths) <= 2 * truth[-1]


def test_the_null_space_of_a_sample_is_not_one_eigenvalue() -> None:
    """A sample of diag(3, ..., 1, ...) is 0 along coordinates that it lacks; whatever H is there, 0 is the bound."""
    problem = Problem.quadratic(*[3.0] * 20, *[1.0] * 30)
    for seed in range(8):
        ends = sampled_ends(Evaluation(problem, seed), strategy(), DRAWN)
        assert ends.smallest.lower == pytest.approx(0.0, abs=1e-9)
        assert ends.smallest.value == pytest.approx(1.0)
        assert ends.largest.lower <= 3 <= ends.largest.upper


def side(**changes: float) -> Side:
    """Return an end with forms u'A_i u = 3, 5, v'A_i v = 2, 4 and w'A_i w = 1, 1 in two groups of a small share."""
    forms = Forms(np.array([[3.0, 2.0, 1.0], [5.0, 4.0, 1.0]]), np.ones(2), 0.0, torch.zeros(1, 3))
    given = {"value": 3.5, "residual": 0.1, "apart": 0.5, "first": 4.25, "second": 1.5, "spread": 6.0, "quantile": 2.0}
    return Side(forms=forms, **(given | changes))


def test_the_outer_end_is_the_sharper_of_two_bounds() -> None:
    """Standard errors are those of (3, 5), 1, and of the difference (1, 1), 0; the mean of v'A_i v is 3."""
    excess, s = 4.25 - 3.0, 0.1 / (3.5 - 1.5)
    by_residual = excess + 2 * s * 0.5 + s**2 * (6.0 + 0.5)
    assert side().beyond() == (pytest.approx(by_residual), 0.0)
    assert side(residual=0.0).beyond()[0] == pytest.approx(excess)
    by_chance = 4.25 - 3.5 + 2.0 * 1.0
    for changes in ({"residual": 4.0}, {"second": 3.5}, {"second": math.inf}):  # v is far from its eigenvector
        assert side(**changes).beyond() == (pytest.approx(by_chance), 1.0)
    assert side(second=math.inf, first=3.0, quantile=0.1).beyond()[0] == 0.0  # the smaller error does not count alone


def test_more_samples_narrow_the_interval() -> None:
    problem = point("relu", 150)
    few, many = (sampled_ends(Evaluation(problem, 0), strategy(), n).largest for n in (16, 160))
    assert many.halfwidth < few.halfwidth / 2
    assert (few.num_samples, many.num_samples, few.num_matvecs) == (16, 160, PRODUCTS)
    wide = sampled_ends(Evaluation(problem, 0), strategy(9.0, 16), 16).largest  # too few samples to converge
    assert (few.status, wide.status, many.status) == (Status.BUDGET, Status.BUDGET, Status.CONVERGED)
    assert many.confidence == 0.95
    assert "160 of 240 samples" in many.method


def test_a_sum_and_weight_decay_move_the_ends_as_they_move_the_spectrum() -> None:
    ends = {
        name: sampled_ends(Evaluation(point("relu", 150, *more)), strategy(), DRAWN)
        for name, more in {"mean": (), "sum": ("sum",), "decayed": ("mean", 0.5)}.items()
    }

    def numbers(e: Estimate) -> np.ndarray:
        return np.array([e.value, e.lower, e.upper])

    for side in ("largest", "smallest"):
        mean, total, decayed = (numbers(ends[name].at(side)) for name in ("mean", "sum", "decayed"))
        assert total == pytest.approx(N * mean, rel=1e-6)
        assert decayed == pytest.approx(mean + 0.5, rel=1e-6)


def test_forms_are_those_of_the_sample_and_weigh_its_samples() -> None:
    """Under ignore_index the mean is over the samples that count, and the standard error is that of a ratio."""
    torch.manual_seed(1)
    x, y = data()
    masked = y.clone()
    masked[::3] = -100
    problem = Problem(trained("tanh", 20), (x, masked), nn.CrossEntropyLoss(), weight_decay=0.1)
    numbers = drawn_samples(problem, 50, 0)
    some, V = problem.of_some(numbers), torch.linalg.qr(torch.randn(problem.num_params, 2, dtype=torch.float64))[0]
    forms = forms_of(some, V, problem)
    H = torch.from_numpy(dense_of(some)) + 0.1 * torch.eye(problem.num_params, dtype=torch.float64)
    assert forms.mean(np.array([1.0, 0.0])) == pytest.approx(float(V[:, 0] @ H @ V[:, 0]), rel=1e-9)
    assert torch.allclose(forms.products, H @ V, rtol=1e-9, atol=1e-12)
    assert set(forms.weights) == {0.0, 1.0}
    each = [
        float(V[:, 0] @ torch.from_numpy(dense_of(problem.of_some(numbers[i : i + 1]))) @ V[:, 0]) for i in range(50)
    ]
    counted = np.array(each)[forms.weights > 0]
    rest = np.where(forms.weights > 0, np.array(each) - counted.mean(), 0.0)
    wanted = math.sqrt((1 - 50 / N) * 50 / 49 * float((rest**2).sum())) / len(counted)
    assert forms.stderr(np.array([1.0, 0.0])) == pytest.approx(wanted, rel=1e-9)


def test_groups_of_several_samples_have_the_same_mean() -> None:
    problem = point("relu", 150)
    some = problem.of_some(drawn_samples(problem, 100, 0))
    v = torch.ones(problem.num_params, 1, dtype=torch.float64) / math.sqrt(problem.num_params)
    forms = forms_of(some, v, problem)
    assert (len(forms.weights), forms.weights.sum()) == (64, 100)
    assert forms.mean(np.ones(1)) == pytest.approx(float(v[:, 0] @ torch.from_numpy(dense_of(some)) @ v[:, 0]))


def test_samples_that_do_not_count_say_nothing() -> None:
    x, y = data()
    masked = torch.full_like(y, -100)
    masked[0] = 1
    problem = Problem(trained("relu", 20), (x, masked), nn.CrossEntropyLoss())
    seed = next(s for s in range(9) if 0 not in drawn_samples(problem, 16, s).tolist())
    largest = sampled_ends(Evaluation(problem, seed), strategy(), 16).largest
    assert (largest.upper, largest.status) == (math.inf, Status.BUDGET)
    assert largest.lower <= np.linalg.eigvalsh(dense_of(problem))[-1]


def test_as_many_samples_as_there_are_change_nothing() -> None:
    for from_samples in (N, N + 1):
        found, plain = (
            Extremes(0.01, 200, 1 << 30, None, n).compute(Evaluation(point("relu", 150))) for n in (from_samples, None)
        )
        assert repr(found.estimates) == repr(plain.estimates)
        assert found.arrays.keys() == plain.arrays.keys()


def test_measures_take_the_same_ends_and_few_products() -> None:
    evaluation = Evaluation(point("relu", 150))
    found = Extremes(from_samples=DRAWN).compute(evaluation)
    assert (evaluation.total_matvecs, dict(found.arrays)) == (PRODUCTS, {})
    asked = Extremes(from_samples=DRAWN).strategy
    assert repr(found.estimates["lambda_min"]) == repr(spectrum_ends(evaluation, asked).smallest)
    assert repr(found.estimates["lambda_max"]) == repr(end_alone(Evaluation(point("relu", 150)), asked, "largest"))
    bracket = Curvature(from_samples=DRAWN).compute(evaluation).estimates
    T, lam = bracket["effective_rank"], found.estimates["lambda_max"]
    assert T.upper / T.lower == pytest.approx(lam.upper / lam.lower, rel=1e-6)


def test_what_is_refused() -> None:
    for count in (15, 40.0, True):
        with pytest.raises(Misuse, match=f"from_samples is {count}; give a whole number of samples, at least 16"):
            Moments(from_samples=count).check(point("relu", 0))
    for route in ("generic", "dense", "exact"):
        with pytest.raises(Misuse, match=f"route '{route}' takes all samples, and from_samples is 20; leave one of"):
            Extremes(route=route, from_samples=20).check(point("relu", 0))
    shared = Problem(trained("relu", 0), data(), "cross_entropy", shard=Shard(0, 2))
    with pytest.raises(Misuse, match="spread over 2 ranks; leave --from-samples out, or give --plan checkpoints"):
        Extremes(from_samples=20).check(shared)
    Extremes(from_samples=N).check(shared)


def test_the_rank_of_an_mlp_is_that_of_so_many_samples() -> None:
    found, wanted = (
        Rank(**options).compute(Evaluation(point("relu", 0))).estimates
        for options in ({"from_samples": 20}, {"rank_samples": 20})
    )
    assert repr(found) == repr(wanted)
    assert "20 of 240 samples" in found["rank"].method
    assert Rank(rank_samples=30, from_samples=20).drawn == 30
    others = (Rank(from_samples=n).compute(Evaluation(point("tanh", 20))).estimates for n in (20, None))
    assert len({repr(estimates) for estimates in others}) == 1
