"""A run can be continued, and its earlier steps stay the same bit by bit."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.inner import gram
from scalecurv.linalg.krylov import lanczos as module
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess, lanczos
from scalecurv.linalg.probes import probes
from tests.matrices import SPECTRA, symmetric

STEEP = 1.5 ** -np.arange(60.0)


def start(n: int) -> Tensor:
    return probes(n, 0, "test", [0], "gaussian")[:, 0]


def frozen(run: Lanczos) -> tuple[object, ...]:
    return run.basis.clone(), run.residual.clone(), run.alphas.copy(), run.betas.copy(), run.invariant


def assert_same(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one[:2], other[:2], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(one[2:4], other[2:4], strict=True))
    assert one[4] is other[4]


def test_going_on_changes_nothing_bit_by_bit() -> None:
    for dtype in [torch.float64, torch.float32]:
        for spectrum in ["outliers", "flat", "indefinite"]:
            operator = DenseOperator(symmetric(SPECTRA[spectrum]).to(dtype))
            process = LanczosProcess(operator, start(80), 30)
            seen = {}
            for k in range(1, 31):  # a step at a time
                process.advance(k)
                if process.steps == k:
                    seen[k] = frozen(process.first(k))
            assert len(seen) == process.steps
            at_once = LanczosProcess(operator, start(80), 60)
            at_once.advance(process.steps)
            for k, then in seen.items():
                assert_same(frozen(process.first(k)), then)
                assert_same(frozen(at_once.first(k)), then)
            for k in {1, 2, 7, 19, process.steps} & seen.keys():
                assert_same(frozen(lanczos(operator, start(80), k)), seen[k])


def test_the_capacity_is_the_end() -> None:
    operator = CountingOperator(DenseOperator(symmetric(SPECTRA["indefinite"])))
    process = LanczosProcess(operator, start(80), 7)
    process.advance(6)
    assert not process.finished
    process.advance(100)
    assert (process.steps, process.finished, process.invariant, operator.num_matvecs) == (7, True, False, 7)
    process.advance(100)
    assert (process.steps, operator.num_matvecs) == (7, 7)
    assert LanczosProcess(operator, start(80), 10**9).capacity == 80


def test_only_the_last_step_is_invariant() -> None:
    levels = torch.from_numpy(np.repeat([3.0, 1.0, -2.0, 0.0], 5))
    process = LanczosProcess(DenseOperator(torch.diag(levels)), start(20), 20)
    process.advance(20)
    assert (process.steps, process.invariant, process.finished) == (4, True, True)
    assert [process.first(k).invariant for k in (1, 2, 3, 4)] == [False, False, False, True]
    assert process.first(4).residual_norm == 0
    assert process.first(3).residual_norm == process.first(4).betas[2] > 0.1


def test_breakdown_is_measured_against_all_that_was_seen() -> None:
    """Rank one, from a start that is almost the eigenvector: A q_2 is small, its rounding is that of A."""
    eigenvalues = np.zeros(30)
    eigenvalues[0] = 1
    A = symmetric(eigenvalues)
    top = torch.linalg.eigh(A)[1][:, -1]
    process = LanczosProcess(DenseOperator(A), top + 1e-7 * start(30), 10)
    process.advance(10)
    assert (process.steps, process.invariant) == (2, True)


@pytest.mark.parametrize("spectrum", ["outliers", "power law", "indefinite"])
def test_the_relation_holds_at_every_length(spectrum: str) -> None:
    A = symmetric(SPECTRA[spectrum])
    process = LanczosProcess(DenseOperator(A), start(80), 40)
    process.advance(40)
    scale = abs(SPECTRA[spectrum]).max()
    for k in range(1, 41):
        run = process.first(k)
        Q, T = run.basis, torch.from_numpy(run.projected)
        e = torch.eye(k, dtype=torch.float64)
        assert (A @ Q - Q @ T - run.residual[:, None] * e[k - 1]).abs().max() <= 1e-12 * scale
        assert (Q.T @ A @ Q - T).abs().max() <= 1e-12 * scale
        assert (Q.T @ Q - e).abs().max() <= 1e-12
        assert (Q.T @ run.residual).abs().max() <= 1e-12 * scale
        assert run.residual_norm == pytest.approx(float(run.residual.norm()), rel=1e-12)


def one_pass(V: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    coefficients = gram(Q, V)
    return V - Q @ coefficients.to(V.dtype), coefficients


def overlap(run: Lanczos) -> float:
    Q = run.basis.double()
    return float((Q.T @ Q - torch.eye(Q.shape[1])).abs().max())


def test_a_single_pass_would_lose_orthogonality(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = DenseOperator(symmetric(STEEP).float())
    assert overlap(lanczos(operator, start(60), 40)) < 5e-6
    monkeypatch.setattr(module, "project_out", one_pass)
    assert overlap(lanczos(operator, start(60), 40)) > 1e-2
