"""One Lanczos process: ends and subspaces are prefixes of it, whoever asks, in whatever order."""

import itertools

import pytest
import torch

from scalecurv.linalg.krylov.extremes import End
from scalecurv.measures import Extremes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import Krylov, deflated_space, krylov_run, one_end
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Status
from tests.loops import each
from tests.networks import oracle, problem

MEMORY = 1 << 30
SMALL = 8 * 74 * 8  # four vectors, and room to restart


def strategy(rtol: float = 0.01, max_matvecs: int = 400, memory: int = MEMORY, route: str = "sampled") -> Strategy:
    return Strategy(rtol, max_matvecs, memory, route)


def same(one: Krylov, other: Krylov) -> bool:
    """Bit by bit."""
    return (
        torch.equal(one.space.basis, other.space.basis)
        and (one.space.projected == other.space.projected).all()
        and repr(one.ends) == repr(other.ends)
        and (one.run is None) == (other.run is None)
    )


def test_it_is_the_factorization_behind_the_ends() -> None:
    evaluation = Evaluation(problem("relu"), 3)
    found = krylov_run(evaluation, strategy(0.1))
    assert found.run is not None
    taken = evaluation.total_matvecs
    assert taken == found.run.num_matvecs == found.space.num_matvecs
    assert Extremes(0.1, 400, MEMORY, "sampled").compute(evaluation).estimates["lambda_max"] == found.ends.largest
    assert krylov_run(evaluation, strategy(0.1)) is found
    assert krylov_run(evaluation, strategy(0.1, route="generic")) is found  # the route changes nothing here
    assert evaluation.total_matvecs == taken  # shared, not taken again


def test_its_basis_may_be_reused() -> None:
    basis = krylov_run(Evaluation(problem("relu"), 3), strategy(0.1)).space.basis
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=basis.dtype), rtol=0, atol=1e-12)
    top = float(torch.linalg.eigvalsh(basis.T @ oracle("relu").hessian @ basis)[-1])
    assert abs(top / float(torch.linalg.eigvalsh(oracle("relu").hessian)[-1]) - 1) < 0.1


@each(memory=[MEMORY, SMALL], name=["relu", "tanh", "conv"])
def test_the_subspace_does_not_depend_on_what_was_asked_before(name: str, memory: int) -> None:
    alone = deflated_space(Evaluation(problem(name), 1), strategy(memory=memory))
    for rtol, max_matvecs in itertools.product((1e-6, 0.5), (400, 100)):
        evaluation = Evaluation(problem(name), 1)
        krylov_run(evaluation, strategy(rtol, max_matvecs, memory))
        krylov_run(evaluation, strategy(0.01, 400, memory))
        assert same(deflated_space(evaluation, strategy(memory=memory)), alone)


def test_the_ends_do_not_depend_on_the_subspace() -> None:
    alone = krylov_run(Evaluation(problem("relu"), 1), strategy(1e-6))
    evaluation = Evaluation(problem("relu"), 1)
    short = deflated_space(evaluation, strategy(1e-6))
    before = evaluation.total_matvecs
    assert same(krylov_run(evaluation, strategy(1e-6)), alone)
    assert before == short.space.num_matvecs < alone.space.num_matvecs == evaluation.total_matvecs
    assert torch.equal(alone.space.basis[:, :before], short.space.basis)  # a prefix


def test_a_subspace_in_little_memory_depends_on_the_budget_it_was_given() -> None:
    """Where it takes restarts to find the dominant eigenvalue, more products find more; each asked for gets its own."""
    one, other = strategy(0.001, 1000, SMALL), strategy(0.001, 64, SMALL)
    for first, second in ((one, other), (other, one)):
        evaluation = Evaluation(problem("tanh"), 1)
        deflated_space(evaluation, first)
        assert same(deflated_space(evaluation, second), deflated_space(Evaluation(problem("tanh"), 1), second))


@pytest.mark.parametrize("rtol", [0.5, 1e-6])
def test_a_subspace_is_taken_once_the_dominant_end_is_known(rtol: float) -> None:
    """To 1 %, whatever tolerance is asked for; looks are five steps apart: five steps fewer would not have done."""
    found = deflated_space(Evaluation(problem("relu"), 1), strategy(rtol))
    assert found.run is not None
    dominant = max((found.ends.largest, found.ends.smallest), key=lambda end: abs(end.value))
    truth = torch.linalg.eigvalsh(oracle("relu").hessian)
    assert dominant.value == pytest.approx(float(truth[truth.abs().argmax()]), rel=0.01)
    assert dominant.within(0.01)
    steps = found.space.num_matvecs
    assert steps % 5 == 0
    evaluation = Evaluation(problem("relu"), 1)
    shorter = krylov_run(evaluation, strategy(0.0, 4 * (steps - 5))) if steps > 5 else None
    assert shorter is None or not max(
        (shorter.ends.largest, shorter.ends.smallest), key=lambda end: abs(end.value)
    ).within(0.01)


def test_memory_bounds_the_space() -> None:
    evaluation = Evaluation(problem("relu"), 3)
    whole, short = krylov_run(evaluation, strategy(1e-12)), krylov_run(evaluation, strategy(1e-12, memory=SMALL))
    assert whole.space.basis.shape[1] > 4
    assert short.space.basis.shape == (74, 2)
    assert short.run is None
    half = problem("relu", dtype=torch.float32)  # vectors of half the size: four times as many fit
    found = krylov_run(Evaluation(half, 3), strategy(1e-12, 400, 2 * SMALL))
    assert found.space.basis.shape == (74, 10)


@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_one_end_is_read_from_the_same_run_and_does_not_wait(end: End) -> None:
    asked = strategy(1e-4)
    alone = one_end(Evaluation(problem("relu"), 1), asked, end)
    evaluation = Evaluation(problem("relu"), 1)
    both = krylov_run(evaluation, asked)
    taken = evaluation.total_matvecs
    assert repr(one_end(evaluation, asked, end)) == repr(alone)  # whoever asked before
    assert evaluation.total_matvecs == taken
    assert alone.num_matvecs <= both.ends.at(end).num_matvecs
    truth = torch.linalg.eigvalsh(oracle("relu").hessian)[-1 if end == "largest" else 0]
    assert alone.lower <= float(truth) <= alone.upper
    assert alone.status is Status.CERTIFIED


def test_one_end_in_little_memory_restarts_for_itself() -> None:
    both = krylov_run(Evaluation(problem("tanh"), 1), strategy(1e-3, memory=SMALL)).ends
    one = one_end(Evaluation(problem("tanh"), 1), strategy(1e-3, memory=SMALL), "largest")
    truth = float(torch.linalg.eigvalsh(oracle("tanh").hessian)[-1])
    assert one.lower <= truth <= one.upper
    assert one.num_matvecs <= both.largest.num_matvecs
