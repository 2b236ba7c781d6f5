"""The profile of J of an MLP against singular values: all of the data by J J' or J'J, and draws of its samples."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.measures import Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank import profile, sample
from scalecurv.measures.rank.profile import TAUS, jacobian_profile, profile_plan
from scalecurv.measures.rank.sample import allowed_work
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status

AMPLE = 1 << 30


def net(seed: int, num_data: int | None = None) -> Problem:
    """Return a ReLU network of random widths on spread or on nearly collinear inputs."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widths = [int(w) for w in rng.integers(1, 7, int(rng.integers(2, 5)))]
        layers = [nn.Linear(a, b, bias=bool(rng.random() < 0.8)) for a, b in pairwise(widths)]
        model = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1]).double()
        n = num_data or int(rng.integers(1, 12))
        x = torch.randn(n, widths[0], dtype=torch.float64)
        x = x if rng.random() < 0.7 else x[:1] + 10.0 ** -rng.uniform(1, 9) * x
    return Problem(model, (x, torch.zeros(n, widths[-1], dtype=torch.float64)), "mse")


def jacobian(point: Problem) -> Tensor:
    return torch.func.jacrev(lambda theta: point.outputs(theta, point.x))(point.theta).flatten(0, 1)


def asked(point: Problem, rank: int, memory: int = AMPLE, samples: int | None = None) -> dict[str, Estimate]:
    mlp = homogeneous_mlp(point)
    assert mlp is not None
    return jacobian_profile(Evaluation(point), mlp, memory, "logits", rank, samples)


def inside(found: dict[str, Estimate], sigma: np.ndarray) -> list[str]:
    """Return the numbers whose interval does not hold that of the singular values, up to rounding of these."""
    if not sigma[0]:
        return [name for name in TAUS if found[name].upper or found[name].lower]
    loose, wrong = 1e-14 * sigma[0], []
    for name, tau in TAUS.items():
        fewest, most = ((sigma > tau * sigma[0] + step).sum() for step in (loose, -loose))
        wrong += [name] if found[name].lower > most or found[name].upper < fewest else []
    squares = (sigma / sigma[0]) ** 2
    for name, true in (
        ("stable_rank", squares.sum()),
        ("jacobian_participation_ratio", squares.sum() ** 2 / (squares**2).sum()),
    ):
        e = found[name]
        wrong += [name] if not e.lower * (1 - 1e-9) <= true <= e.upper * (1 + 1e-9) else []
    return wrong


def test_two_hundred_networks_lie_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SMALL", 0)  # else their singular values themselves are taken
    by_columns, sharp = 0, 0
    for seed in range(200):
        point = net(seed)
        J = jacobian(point)
        sigma = torch.linalg.svdvals(J).numpy()
        found = asked(point, min(J.shape))
        assert inside(found, sigma) == [], seed
        mlp = homogeneous_mlp(point)
        assert mlp is not None
        by_columns += profile_plan(point, mlp, point.num_outputs, AMPLE, None).columns
        sharp += sum(found[name].status is Status.CONVERGED for name in TAUS)
    assert by_columns > 20
    assert sharp > 400


def test_small_ones_come_from_the_singular_values() -> None:
    point = net(3, 9)
    sigma = torch.linalg.svdvals(jacobian(point)).numpy()
    found = asked(point, point.num_params)
    for name, tau in TAUS.items():
        assert found[name].lower == found[name].upper == (sigma > tau * sigma[0]).sum()
        assert found[name].confidence == 1


def test_draws_of_samples_bound_the_profile_of_all() -> None:
    """Counts never exceed those of all samples; the ratios' 95 % intervals hold them nearly always."""
    held = {"stable_rank": 0, "jacobian_participation_ratio": 0}
    for seed in range(60):
        point = net(1000 + seed, 40)
        sigma = torch.linalg.svdvals(jacobian(point)).numpy()
        found = asked(point, min(len(sigma), point.num_params), samples=20)
        if not sigma[0]:
            continue
        wrong = inside(found, sigma)
        assert not set(wrong) & set(TAUS), seed
        for name in TAUS:
            assert found[name].status is Status.LOWER_BOUND
            assert found[name].method.endswith(", 20 of 40 samples")
            assert found[name].num_matvecs > 0
        for name in held:
            held[name] += name not in wrong
            assert found[name].lower >= 1
    assert min(held.values()) >= 50  # of 60, Student's from 20 samples that may be skewed


def test_a_draw_of_too_few_samples_says_nothing_of_the_ratios() -> None:
    found = asked(net(4, 30), 5, samples=2)
    for name in ("stable_rank", "jacobian_participation_ratio"):
        assert (found[name].lower, found[name].upper, found[name].status) == (1, 5, Status.LOWER_BOUND)


def test_work_is_limited_past_the_rows_that_are_always_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    point = net(5, 50)
    rows, outputs = 50 * point.num_outputs, point.num_outputs
    assert allowed_work(point, outputs, 50, None) == np.inf
    monkeypatch.setattr(sample, "WHOLE", rows - 1)
    monkeypatch.setattr(sample, "FLOOR", 1.0)
    assert allowed_work(point, outputs, 50, None) == sample.GRADIENTS * 6 * 50 * point.num_params
    assert allowed_work(point, outputs, 50, 7) == np.inf
    monkeypatch.setattr(sample, "GRADIENTS", 0)
    monkeypatch.setattr(sample, "FLOOR", 5e4)
    found = Rank().compute(Evaluation(point)).estimates
    for name in ("rank", *TAUS):
        assert "of 50 samples (--rank-samples takes more)" in found[name].method
        assert found[name].status is Status.LOWER_BOUND
    whole = Rank(rank_samples=50).compute(Evaluation(point)).estimates
    for name in ("rank", *TAUS):
        assert "of 50 samples" not in whole[name].method
        assert found[name].lower <= whole[name].lower <= whole[name].upper <= found[name].upper
    few = Rank(20_000, rank_samples=50).compute(Evaluation(point)).estimates["rank_1e2"]
    assert "of 50 samples (more --memory takes more)" in few.method


def test_the_work_of_a_draw_is_limited_where_memory_has_no_room_for_all_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Digits have 17,970 rows, and a memory of 3 GB holds 14,000: they took minutes, for lower bounds."""
    point = net(6, 50)
    monkeypatch.setattr(sample, "FLOOR", 1e3)
    monkeypatch.setattr(sample, "GRADIENTS", 0)
    memory = 30_000
    drawn, more = (Rank(memory, rank_samples=n).compute(Evaluation(point)).estimates for n in (None, 50))
    for name in ("rank", *TAUS):
        assert "of 50 samples (--rank-samples takes more)" in drawn[name].method
        assert drawn[name].lower <= more[name].lower
    assert "(more --memory takes more)" in more["rank_1e2"].method
    assert "of 50 samples" not in Rank().compute(Evaluation(point)).estimates["rank"].method


def test_the_same_request_gives_the_same_bits() -> None:
    first, again = (Rank(rank_samples=9).compute(Evaluation(net(6, 30))).estimates for _ in range(2))
    assert repr(first) == repr(again)
