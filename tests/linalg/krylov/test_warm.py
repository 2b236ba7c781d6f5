"""Eigenpairs from vectors that are known beforehand: whatever these are, the certificate holds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov import eigenpairs as module
from scalecurv.linalg.krylov.eigenpairs import CHECK, Pairs, outermost_eigenpairs
from scalecurv.linalg.krylov.warm import spanned, stream_beside
from scalecurv.linalg.probes import probes
from scalecurv.statistics.estimate import Status
from tests.matrices import symmetric

N = 40
LEVELS = np.r_[3.0, 3 * (1 - 1e-3), np.linspace(-1, 1, N - 2)]
A = torch.diag(torch.from_numpy(LEVELS))
OTHER = symmetric(LEVELS, 5)


def random(columns: int, seed: int) -> Tensor:
    return torch.randn(N, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of_the_same_seed(seed: int) -> Tensor:
    """Vectors that depend on what the seed draws: those of a run on the same matrix."""
    return outermost_eigenpairs(A, 2, "LA", seed, 1e-9, 9, N).vectors


WARM: dict[str, Callable[[int], Tensor]] = {
    "random": lambda seed: random(3, seed),
    "of another matrix": lambda seed: torch.linalg.eigh(OTHER)[1][:, -3:],
    "inner": lambda seed: torch.eye(N, dtype=torch.float64)[:, 4:7],
    "dependent, of any length": lambda seed: random(2, seed) @ torch.tensor([[1e-9, 1.0, 0], [0, 1, 1e9]]).double(),
    "of the same seed": of_the_same_seed,
    "turned a little": lambda seed: torch.eye(N, dtype=torch.float64)[:, :2] + 0.02 * random(2, seed),
}


HIDING = ("inner", "dependent, of any length")  # almost all of the top eigenvector, which no product has touched


def missed(found: Pairs, truth: np.ndarray) -> bool:
    return not all(v.lower <= t <= v.upper for v, t in zip(found.values, truth, strict=True))


@pytest.mark.parametrize("name", WARM)
def test_the_chance_to_miss_is_the_one_allowed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that may fail with a chance of 0.5 misses, and no more often."""
    seeds, levels = 40, np.r_[1.0, np.linspace(-0.1, 0.1, N - 1)]
    monkeypatch.setattr(module, "chance_of", lambda check: 0.5)
    found = [
        outermost_eigenpairs(torch.diag(torch.from_numpy(levels)), 1, "LA", seed, 1.0, 6, N, warm=WARM[name](seed))
        for seed in range(seeds)
    ]
    misses = sum(missed(f, levels[:1]) for f in found)
    assert misses <= binom.ppf(0.999, seeds, 0.5)
    assert misses > 0 or name not in HIDING


def test_an_adversary_who_knows_the_seed_hides_nothing() -> None:
    """Vectors made so that the start of the check, if it came from the seed alone, has no part in the top eigenvector.

    With R = I - qq' and Ru = y a / |y|^2 for a y that is orthogonal to the draw z, u'Rz is 0 and u is hidden.
    """
    levels = torch.tensor([9.0, 8.0, *np.linspace(-1, 1, N - 2)], dtype=torch.float64)
    u, v = torch.eye(N, dtype=torch.float64)[:, 0], torch.eye(N, dtype=torch.float64)[:, 9]
    for seed in range(4):
        z = probes(N, seed, CHECK, [1], "gaussian")[:, 0]
        y = u - (u @ z) / (v @ z) * v
        q = u - (u @ y) / (y @ y) * y
        warm = torch.stack([q, torch.eye(N, dtype=torch.float64)[:, 1]], dim=1)
        found = outermost_eigenpairs(torch.diag(levels), 1, "LA", seed, 0.01, 30, N, warm=warm)
        assert found.values[0].lower <= 9 <= found.values[0].upper
        assert found.values[0].status is Status.CERTIFIED


def test_good_vectors_save_the_first_run() -> None:
    operator = CountingOperator(DenseOperator(A))
    cold = outermost_eigenpairs(operator, 2, "LA", 0, 1e-6, 60, N)
    before = operator.num_matvecs
    warm = outermost_eigenpairs(operator, 2, "LA", 0, 1e-6, 60, N, warm=cold.vectors)
    assert warm.num_matvecs == operator.num_matvecs - before < cold.num_matvecs
    assert {v.status for v in warm.values} == {Status.CERTIFIED}
    assert warm.num_checks == 1
    again = outermost_eigenpairs(operator, 2, "LA", 0, 1e-6, 60, N, warm=cold.vectors.clone())
    assert again.values == warm.values
    assert torch.equal(again.vectors, warm.vectors)


def test_all_ends_copies_and_single_precision() -> None:
    levels = np.r_[np.repeat([5.0, -4.0], 3), np.linspace(-1, 1, N - 6)]
    for dtype in (torch.float64, torch.float32):
        for which, truth in (("LA", [5, 5, 5]), ("SA", [-4, -4, -4]), ("LM", [5, 5, 5])):
            matrix, W = torch.diag(torch.from_numpy(levels)).to(dtype), random(4, 1)
            found = outermost_eigenpairs(matrix, 3, which, 0, 1e-3, N, N, warm=W)  # type: ignore[arg-type]
            assert not missed(found, np.array(truth))
            assert (found.vectors.dtype, {v.status for v in found.values}) == (dtype, {Status.CERTIFIED})


def test_nothing_warm_is_cold() -> None:
    cold = outermost_eigenpairs(A, 1, "LA", 3, 1e-3, 30, N)
    for nothing in (torch.empty(N, 0), torch.zeros(N, 2)):
        assert outermost_eigenpairs(A, 1, "LA", 3, 1e-3, 30, N, warm=nothing).values == cold.values


def test_the_space_of_any_columns() -> None:
    W = random(4, 0)
    for columns, width in ((W, 4), (W * 1e200, 4), (W * 1e-200, 4), (torch.cat([W, W[:, :1] * 0, W @ W[:4]], 1), 4)):
        space = spanned(A, columns, 10)
        assert space is not None
        Q, F = space.basis, space.residual
        both = torch.cat([Q, F], dim=1)
        torch.testing.assert_close(both.T @ both, torch.eye(2 * width, dtype=torch.float64), rtol=0, atol=1e-13)
        right = Q @ torch.from_numpy(space.projected) + F @ torch.from_numpy(space.coupling.T)
        torch.testing.assert_close(A @ Q, right, rtol=0, atol=1e-13)
        assert float(torch.linalg.matrix_norm(W - Q @ (Q.T @ W))) < 1e-12
        assert space.num_matvecs == width
    two = spanned(A, W, 2)
    assert two is not None
    assert two.basis.shape == (N, 2)
    whole = spanned(A, torch.eye(N), N)
    assert whole is not None
    assert whole.residual.shape[1] == 0
    zero = spanned(torch.zeros(N, N), W, 4)
    assert zero is not None
    assert (zero.size, zero.residual.shape[1]) == (0.0, 0)


def test_the_stream_is_one_of_its_own() -> None:
    W = random(3, 0)
    names = {stream_beside(w, CHECK) for w in (W, W.float(), W[:, :2], W.flip(1), W + 1e-9, -W)}
    assert len(names) == 6
    assert CHECK not in names
    assert stream_beside(W.T.contiguous().T, CHECK) == stream_beside(W, CHECK)


@pytest.mark.parametrize(
    "bad", [random(2, 0)[:-1], random(1, 0)[:, 0], random(2, 0) / 0, random(2, 0).long(), A * np.nan]
)
def test_what_is_no_block_of_real_vectors_is_refused(bad: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"^warm vectors (of shape .* one a column, shape \(40, j\)|hold values .* NaN)$"
    ):
        outermost_eigenpairs(A, 1, "LA", 0, 0.1, 20, N, warm=bad)
