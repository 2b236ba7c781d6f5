"""The effective dimension and the log-determinant of stored rules, against dense matrices and over many seeds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

import scalecurv as sc
from scalecurv.errors import Misuse
from scalecurv.record import Outcome
from scalecurv.results.density import SpectralRule
from scalecurv.results.query import open_store
from scalecurv.results.spectral_sums import effective_dimension, log_determinant
from scalecurv.results.student import student_quantile
from scalecurv.statistics.estimate import Estimate, Status
from tests.matrices import gauss_rule
from tests.outcomes import outcome, record, store_of

P = 300
SPECTRA = {
    "power law": 5 / np.arange(1.0, P + 1) ** 1.5,
    "indefinite": np.r_[np.linspace(-0.2, 0.3, P - 5), np.linspace(1, 9, 5)],
    "flat": np.linspace(0.5, 1, P),
}
SUMS: dict[str, tuple[Callable[..., Estimate], Callable[[np.ndarray, float], float]]] = {
    "effective_dimension": (effective_dimension, lambda t, a: float((t / (t + a)).sum())),
    "log_determinant": (log_determinant, lambda t, a: float(np.log1p(t / a).sum())),
}


def rule_of(values: np.ndarray, seed: int, starts: int = 4, steps: int = 12) -> SpectralRule:
    rng = np.random.default_rng(seed)
    runs = [gauss_rule(values, rng.standard_normal(len(values)), steps) for _ in range(starts)]
    nodes, weights = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    return SpectralRule(nodes, weights / starts, np.repeat(np.arange(starts), steps))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    for values in SPECTRA.values():
        rules = [rule_of(values, seed) for seed in range(120)]
        for alpha in (0.21, 20.0):
            low = float(values.min())
            for ask, truth in SUMS.values():
                found = [ask(rule, alpha, P, smallest=low) for rule in rules]
                held = np.mean([e.lower <= truth(values, alpha) <= e.upper for e in found])
                assert held > 0.92, (alpha, held)
                centred = np.mean([e.value for e in found])
                if alpha >= 1:  # next to the pole of 1 / (lambda + alpha) 12 nodes leave a wide bracket
                    assert centred == pytest.approx(truth(values, alpha), rel=0.03)


def test_truncation_is_part_of_the_interval() -> None:
    """Rules of two nodes are far off, always to the same side, and no spread over starts shows it."""
    values = SPECTRA["power law"]
    for ask, truth in SUMS.values():
        found = [ask(rule_of(values, seed, starts=8, steps=2), 0.01, P, smallest=0.0) for seed in range(50)]
        assert all(e.lower <= truth(values, 0.01) <= e.upper for e in found)
        assert all(e.status is Status.BUDGET for e in found)


def test_without_a_bound_the_rules_own_serves() -> None:
    for values in SPECTRA.values():
        for seed in range(20):
            own = effective_dimension(rule_of(values, seed, steps=25), 2.0, P)
            given = effective_dimension(rule_of(values, seed, steps=25), 2.0, P, smallest=float(values.min()))
            assert own.lower - 1e-9 <= given.lower <= given.upper <= own.upper + 0.05 * own.value
            assert own.value == pytest.approx(given.value, rel=0.05)


def test_all_eigenvalues_give_the_sum_itself_and_one_start_a_bound() -> None:
    values = SPECTRA["indefinite"]
    every = SpectralRule(values, np.full(P, 1 / P), np.full(P, -1))
    for ask, truth in SUMS.values():
        for alpha in (0.21, 3.0):
            found = ask(every, alpha, P)
            assert (found.status, found.num_matvecs) == (Status.EXACT, P)
            assert found.value == pytest.approx(truth(values, alpha), rel=1e-12)
            one = ask(rule_of(values, 0, starts=1), alpha, P, smallest=-0.2)
            assert one.lower <= truth(values, alpha)
            assert (one.upper, one.status) == (np.inf, Status.BUDGET)


def test_what_is_wrong_is_said_in_one_line() -> None:
    rule, one = rule_of(SPECTRA["indefinite"], 0), rule_of(SPECTRA["flat"], 0, steps=1)
    every = SpectralRule(np.array([-1.0, 3.0]), np.full(2, 0.5), np.full(2, -1))
    for asked, message in [
        ((rule, 0.0), "alpha is 0.0; give a positive number in the units of H"),
        ((rule, float("nan")), "alpha is nan; give a positive number"),
        ((rule, 0.1, -0.2), "alpha is 0.1 and an eigenvalue may be as small as -0.2; give alpha above 0.2, so that"),
        ((every, 0.5), "alpha is 0.5 and an eigenvalue is -1; give alpha above 1, so that"),
        ((one, 1.0), "rules of one node bound no eigenvalue; analyze with more --max-matvecs, or give smallest="),
        ((rule, 1.0, 0.5), "smallest is 0.5 and a node is -0.19"),
    ]:
        for ask, _ in SUMS.values():
            with pytest.raises(Misuse) as raised:
                ask(asked[0], asked[1], P, smallest=asked[2] if len(asked) > 2 else None)
            assert message in str(raised.value)
            assert "\n" not in str(raised.value)


def test_student_quantiles() -> None:
    for freedom in (1, 2, 3, 4, 7, 30, 101):
        for confidence in (0.5, 0.951, 0.999):
            assert student_quantile(confidence, freedom) == pytest.approx(stdtrit(freedom, (1 + confidence) / 2))


def stored(rule: SpectralRule, smallest: Estimate | None = None, key: str = "k1", **fields: str) -> Outcome:
    arrays = {f"ritz_{part}": getattr(rule, part).astype(float) for part in ("nodes", "weights", "starts")}
    found = [replace(record(key, {}, **arrays), measure="spectrum")]
    if smallest is not None:
        found.append(replace(record("k2", {("lambda_min", ""): smallest}), measure="extremes"))
    return outcome("/a.pt", *found, **{"fingerprint": "f1", **fields})


def test_a_store_answers_with_its_own_facts(tmp_path: Path) -> None:
    rule = rule_of(SPECTRA["indefinite"], 0)
    bound = Estimate.enclosed(-0.199, -0.2, -0.199, "lanczos", Status.CERTIFIED, confidence=0.999)
    store = open_store(store_of(tmp_path / "one", stored(rule, bound)))
    n = int(store.table("checkpoints")["num_params"].iloc[0])
    for name, (ask, _) in SUMS.items():
        answer = getattr(store, name)
        assert answer("f1", 0.5) == ask(rule, 0.5, n, smallest=-0.2, chance=1 - 0.999)
        with pytest.raises(Misuse, match=r"as small as -0\.2; give alpha above 0\.2"):
            answer("f1", 0.1)
        with pytest.raises(Misuse, match="no spectrum of a checkpoint 'f9'"):
            answer("f9", 0.5)
    loose = replace(bound, confidence=0.95)  # as from a sample of the data
    unsure = open_store(store_of(tmp_path / "three", stored(rule, loose)))
    assert unsure.effective_dimension("f1", 0.5) == effective_dimension(rule, 0.5, n)
    bare = open_store(store_of(tmp_path / "two", stored(rule), stored(rule, key="k3", task_id="t2")))
    assert bare.effective_dimension("f1", 0.5, task_id="t2") == effective_dimension(rule, 0.5, n)
    with pytest.raises(Misuse, match="choose with task_id= or dtype="):
        bare.log_determinant("f1", 0.5)


def test_a_problem_with_a_dense_hessian() -> None:
    """A rule of real products, in the range of what the dense spectrum gives."""
    values = np.linspace(-0.4, 6.0, 150)
    problem = sc.Problem.quadratic(*values.tolist())
    rule = sc.spectrum(problem, max_matvecs=100)
    assert not rule.exact
    for ask, truth in SUMS.values():
        found = ask(rule, 1.0, 150)
        assert found.lower <= truth(values, 1.0) <= found.upper
        assert found.halfwidth < 0.2 * found.value
