"""What decides when K is good enough, and what a sampled trace leaves of the certainty of everything else."""

from functools import partial

import pytest
import torch
from torch import nn

from scalecurv.measures import Moments
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import gradient_facts
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.moments.sampled import sampled_square
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.matrices import symmetric
from tests.networks import data, network
from tests.quadratic import quadratic

MEMORY = 1 << 30


def classifier(widths: tuple[int, ...], num_data: int) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = [
            nn.Linear(widths[0], widths[1]),
            *(m for n in widths[2:] for m in (nn.ReLU(), nn.Linear(widths[1], n))),
        ]
        x = torch.randn(num_data, widths[0], dtype=torch.float64)
        return Problem(nn.Sequential(*layers).double(), (x, torch.arange(num_data) % widths[-1]), "cross_entropy")


def test_the_first_look_at_which_k_is_inside() -> None:
    """By hand over all looks; on this slope T^2 - F is four times K / beta, and would have stopped at others."""
    model = network("relu")
    with torch.no_grad():
        for p in model.parameters():
            p *= 2
    point = Problem(model, data("mse"), "mse")
    facts, T = gradient_facts(Evaluation(point)), Moments().compute(Evaluation(point)).estimates["trace"].value
    b, counts = facts.beta, []
    for rtol in (0.3, 0.2, 0.1, 0.05):
        strategy = Strategy(rtol, 4000, MEMORY, "sampled")

        def needed(F: Estimate, name: str, rtol: float = rtol) -> float:
            difference, floor = T**2 - F.value, 0.1 * (T**2 + F.value) / 2
            K = b * difference + 2 * b**2 * (facts.gh2g - T * facts.ghg)
            scale = b if name == "K" else 1.0
            asked = rtol * max(abs(K if name == "K" else difference), scale * floor)
            off = scale * F.halfwidth / asked
            return 0.0 if off <= 1 else F.num_samples * off**2 + 1

        first = {
            name: sampled_square(Evaluation(point, 1), strategy, T, partial(needed, name=name)).num_matvecs
            for name in ("K", "difference")
        }
        assert scalar_curvature(Evaluation(point, 1), strategy).trace_h2.num_matvecs == first["K"]
        counts.append((first["K"], first["difference"]))
    assert any(one != other for one, other in counts)


def test_what_cancels_is_known_to_a_share_of_its_parts() -> None:
    """T^2 = F = 16 and a slope that makes K about 0 too: each has its own floor, and beta tells them apart."""
    A = symmetric([1.0] * 10 + [-1.0] * 6)
    vectors = torch.linalg.eigh(A)[1]
    g = 10 * (0.625**0.5 * vectors[:, -1] + 0.375**0.5 * vectors[:, 0])  # u'Hu = 1/4: u'H^2 u - T u'Hu = 0
    point, rtol, strategy = quadratic(A, g), 2.0, Strategy(2.0, 2000, MEMORY, "generic")
    absolutely = 0
    for seed in range(12):
        evaluation = Evaluation(point, seed)
        answer = scalar_curvature(evaluation, strategy)
        start = deflation(evaluation, strategy).rows(evaluation, 32)[:, :2].mean(axis=0)
        floor = 0.1 * (start[0] ** 2 + start[1]) / 2
        for estimate, least in ((answer.difference, floor), (answer.K, gradient_facts(evaluation).beta * floor)):
            inside = estimate.halfwidth <= rtol * max(abs(estimate.value), least)
            assert (estimate.status is Status.CONVERGED) == inside
            absolutely += inside and abs(estimate.value) < least and "absolute tolerance" in estimate.method
        assert abs(answer.difference.value) <= 3 * answer.difference.halfwidth
    assert absolutely >= 4


def test_a_sampled_trace_leaves_nothing_exact() -> None:
    """An exact square beside it: the error of K is that of the trace alone."""
    point, strategy = classifier((60, 12), 8), Strategy(0.0, 20, MEMORY)
    evaluation = Evaluation(point, 3)
    answer, facts = scalar_curvature(evaluation, strategy), gradient_facts(evaluation)
    assert answer.trace.method == "8 passes with output probes"
    assert answer.trace_h2.status is Status.EXACT
    b, T = facts.beta, answer.trace
    assert answer.K.stderr == pytest.approx(abs(2 * b * T.value - 2 * b**2 * facts.ghg) * T.stderr, rel=1e-12)
    assert answer.difference.stderr == pytest.approx(2 * T.value * T.stderr, rel=1e-12)
    assert {answer.K.status, answer.difference.status} == {Status.BUDGET}
    loose = scalar_curvature(Evaluation(point, 3), Strategy(1.0, 20, MEMORY))
    assert {loose.K.status, loose.difference.status} <= {Status.CONVERGED, Status.BUDGET}


def test_only_an_exact_trace_is_a_control() -> None:
    """60 outputs are too many for 100 products and few enough for 400."""
    point = classifier((3, 4, 60), 10)
    for max_matvecs, method in ((100, "deflated hutchinson"), (400, "deflated hutchinson, trace as control")):
        strategy = Strategy(0.0, max_matvecs, MEMORY, "sampled")
        assert scalar_curvature(Evaluation(point), strategy).trace_h2.method == method
        found = Moments(0.0, max_matvecs, route="sampled").compute(Evaluation(point)).estimates
        assert found["trace_h2"].method == method
        assert (found["trace"].status is Status.EXACT) == (max_matvecs == 400)
