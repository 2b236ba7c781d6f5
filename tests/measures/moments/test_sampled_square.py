"""Every look at tr H^2: how many probes, by which proof, at what price, and when it is the last one."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.hutchinson import squared_norm_estimate
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.moments.exact import exact_square
from scalecurv.measures.moments.sampled import sampled_square
from scalecurv.measures.route import Strategy
from scalecurv.statistics.estimate import Estimate, Status
from tests.loops import each
from tests.networks import oracle, problem

MEMORY = 1 << 30
RISK = 0.05 - 4 * 1e-3  # what the certificates leave to the three proofs together


def seen(max_matvecs: int, trace: float | None = None, last: int = 10**9, name: str = "relu") -> list[Estimate]:
    """All looks, up to the first with `last` probes, where each time one probe more is said to be needed."""
    found: list[Estimate] = []
    strategy = Strategy(0.0, max_matvecs, MEMORY)

    def needed(estimate: Estimate) -> float:
        if not found or found[-1] is not estimate:
            found.append(estimate)
        return 0.0 if estimate.num_samples >= last else estimate.num_samples + 1

    answer = sampled_square(Evaluation(problem(name), 2), strategy, trace, needed)
    assert answer is found[-1]
    if len(found) > 1 and strategy.budget.probes >= 32:
        assert found.pop(1).num_matvecs == found[0].num_matvecs  # what a norm that is guessed would prove
    return found


@each(
    ("max_matvecs", "counts"),
    [(24, [4, 4, 7]), (29, [4, 4, 8, 11]), (65, [4, 4, 8, 16, 32, 33]), (200, [4, 4, 8, 16, *range(32, 129, 16), 134])],
)
def test_the_looks_and_their_price(max_matvecs: int, counts: list[int]) -> None:
    """The first rests on the run alone, every other on a fresh start too."""
    found = seen(max_matvecs)
    assert [e.num_samples for e in found] == counts
    steps = found[0].num_matvecs - 4
    check = found[1].num_matvecs - found[0].num_matvecs
    assert min(8, max_matvecs // 8) - 2 <= check <= min(8, max_matvecs // 8)  # its run may find all there is
    assert [e.num_matvecs for e in found] == [steps + 4, *(steps + check + m for m in counts[1:])]
    proven = [m for m in counts if m < 32]
    assert [np.isnan(e.stderr) for e in found] == [True] * len(proven) + [False] * (len(counts) - len(proven))
    assert {e.status for e in found} == {Status.BUDGET}
    assert {e.confidence for e in found} == {0.95}


def test_it_stops_with_the_first_that_is_good_enough() -> None:
    assert [e.num_samples for e in seen(200, last=1)] == [4]
    assert [e.num_samples for e in seen(200, last=5)] == [4, 4, 8]
    assert [e.num_samples for e in seen(200, last=33)] == [4, 4, 8, 16, 32, 48]


@pytest.mark.parametrize(("max_matvecs", "proofs"), [(200, 3), (29, 3), (24, 2)])
def test_the_proofs_share_what_risk_there_is(max_matvecs: int, proofs: int) -> None:
    """Rows of the dense Hessian, the norm that the space gives and then no larger one, what was taken out added."""
    H = oracle("relu").hessian
    evaluation, strategy = Evaluation(problem("relu"), 2), Strategy(0.0, max_matvecs, MEMORY)
    krylov = deflation(evaluation, strategy).krylov
    terms = DeflatedTerms(krylov.space)
    known = float(terms.known[1])
    R = torch.eye(74, dtype=H.dtype) - krylov.space.basis @ krylov.space.basis.T
    left = float(torch.linalg.eigvalsh(R @ H @ R).abs().max())
    found = [e for e in seen(max_matvecs) if np.isnan(e.stderr)]
    for i, estimate in enumerate(found):
        rows = terms(DenseOperator(H, symmetric=True), 2, range(estimate.num_samples))[:, 1]
        assert estimate.value == pytest.approx(known + rows.mean(), rel=1e-10)
        assert known <= estimate.lower

        def proof(norm: float, rows: np.ndarray = rows) -> Estimate:
            return squared_norm_estimate(rows, norm, 1 - RISK / proofs, "", 0)

        widest, narrowest = proof(krylov.ends.norm), proof(left)
        if i == 0:
            assert estimate.halfwidth == pytest.approx(widest.halfwidth, rel=1e-6)
        assert narrowest.halfwidth * (1 - 1e-9) <= estimate.halfwidth <= widest.halfwidth * (1 + 1e-6)
    first, second = found[:2]  # of the same four probes
    assert second.value == first.value
    assert second.halfwidth <= first.halfwidth * (1 + 1e-9)
    if max_matvecs == 200:
        assert second.halfwidth < 0.9 * first.halfwidth  # 8 fresh steps tell more than the first run's norm


def test_no_proof_is_paid_for_that_is_not_expected_to_suffice() -> None:
    """With 17 probes needed by a guess of the norm the fresh start and its 8 products are left out; with 16 not."""
    evaluation, strategy = Evaluation(problem("relu"), 2), Strategy(0.0, 200, MEMORY)
    steps = deflation(evaluation, strategy).num_matvecs
    for needed, probes, check in ((17.0, 32, 0), (16.0, 16, strategy.budget.check)):
        found = sampled_square(Evaluation(problem("relu"), 2), strategy, None, lambda _, needed=needed: needed)
        assert found.num_samples == probes
        assert check - 2 <= found.num_matvecs - probes - steps <= check  # its run may find all there is


@pytest.mark.parametrize("trace", [None, "known"])
def test_no_interval_goes_below_what_is_certain(trace: str | None) -> None:
    """Where little is left its Student interval would reach below |HQ|_F^2 + |RHQ|_F^2."""
    for name in ("relu", "tanh"):
        H = oracle(name).hessian
        found = seen(1000, float(H.trace()) if trace else None, name=name)
        evaluation = Evaluation(problem(name), 2)
        known = float(deflation(evaluation, Strategy(0.0, 1000, MEMORY)).terms.known[1])
        assert all(known <= e.lower <= e.value <= e.upper for e in found)


def test_an_interval_is_cut_at_what_is_certain() -> None:
    """Terms that are nearly always 0: their mean less two standard errors is negative."""
    point, strategy = problem("tanh"), Strategy(0.0, 100, MEMORY)
    known = deflation(Evaluation(point, 0), strategy).terms.known
    rows = np.zeros((1000, len(known)))
    rows[5, 1] = 100.0
    evaluation = Evaluation(point, 0, lambda *asked: [(rows[list(ids)], len(ids)) for ids in asked[-1]])
    found = sampled_square(evaluation, strategy, None, lambda e: 0.0 if e.num_samples >= 32 else np.inf)
    assert found.lower == known[1]
    assert found.value == pytest.approx(known[1] + 100 / 32)


def test_arithmetic_that_breaks_down_ends_it() -> None:
    point, strategy = problem("tanh"), Strategy(0.0, 200, MEMORY)
    rows = np.full((1000, 2 + 2 * 3), np.inf)
    evaluation = Evaluation(point, 0, lambda *asked: [(rows[list(ids)], len(ids)) for ids in asked[-1]])
    found = sampled_square(evaluation, strategy, None, lambda e: np.inf)
    assert (found.status, found.num_samples) == (Status.FAILED, 4)


def test_the_exact_square_is_by_layer() -> None:
    found = exact_square(Evaluation(problem("relu")), Strategy(0.0, 1000, MEMORY))
    assert found is not None
    assert list(found) == ["", "0", "2", "4"]
    assert exact_square(Evaluation(problem("relu")), Strategy(0.0, 1000, MEMORY, "sampled")) is None
    assert exact_square(Evaluation(problem("tanh")), Strategy(0.0, 1000, MEMORY)) is None
