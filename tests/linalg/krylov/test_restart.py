"""Restarts keep the relation and the orthogonality, find both ends, and hold no more vectors than they may."""

import gc
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.krylov.restart import thick_restart
from scalecurv.linalg.krylov.ritz import RitzSpace
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.probes import probes
from tests.commands import ROOT
from tests.matrices import SPECTRA, symmetric

SPREAD = {**SPECTRA, "steep": 1.5 ** -np.arange(80.0), "two-sided": np.linspace(-1, 1, 80) ** 3}


def first_space(operator: LinearOperator, steps: int) -> RitzSpace:
    return RitzSpace.of(lanczos(operator, probes(operator.shape[0], 1, "test", [0], "gaussian")[:, 0], steps))


def never(space: RitzSpace) -> bool:
    return False


def test_the_relation_holds_after_many_cycles() -> None:
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
        for spectrum in SPREAD:
            A = symmetric(SPREAD[spectrum]).to(dtype)
            operator = DenseOperator(A)
            space = thick_restart(operator, first_space(operator, 8), 8, 60, never)
            A, Q, r = A.double(), space.basis.double(), space.residual.double()
            T, c = torch.from_numpy(space.projected), torch.from_numpy(space.coupling)
            scale = abs(SPREAD[spectrum]).max()
            assert (A @ Q - Q @ T - r[:, None] * c).abs().max() <= tolerance * scale
            assert (Q.T @ Q - torch.eye(Q.shape[1])).abs().max() <= tolerance
            assert (Q.T @ r).abs().max() * float(c.abs().max()) <= tolerance * scale
            assert torch.equal(T, T.T)
            assert space.basis.dtype == dtype
            assert c[:-1].abs().max() == 0  # the new residual hangs on the last vector alone


def test_products_are_counted_and_bounded() -> None:
    for num_matvecs in [1, 4, 5, 23, 40]:
        for steps in [3, 8, 15]:
            operator = CountingOperator(DenseOperator(symmetric(SPECTRA["indefinite"])))
            space = first_space(operator, steps)
            sizes: list[int] = []

            def noted(s: RitzSpace, sizes: list[int] = sizes) -> bool:
                sizes.append(s.basis.shape[1])
                return False

            grown = thick_restart(operator, space, 8, num_matvecs, noted)
            assert grown.num_matvecs == operator.num_matvecs == steps + num_matvecs
            assert max(sizes[1:]) <= 8
            assert sizes[0] == steps
            assert sizes[1:-1] == [8] * (len(sizes) - 2)  # whole cycles but for the last


def test_it_stops_when_told_and_before_it_starts() -> None:
    operator = CountingOperator(DenseOperator(symmetric(SPECTRA["indefinite"])))
    space = first_space(operator, 8)
    assert thick_restart(operator, space, 8, 100, lambda s: True) is space
    twice = thick_restart(operator, space, 8, 100, lambda s: s.num_matvecs >= 16)
    assert twice.num_matvecs == operator.num_matvecs == 16


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_both_ends_of_an_outlier_spectrum(dtype: torch.dtype, tolerance: float) -> None:
    eigenvalues = np.concatenate([[-30.0, -12.0, 20.0, 45.0], np.linspace(-1, 1, 76)])
    operator = DenseOperator(symmetric(eigenvalues).to(dtype))

    def done(space: RitzSpace) -> bool:
        return bool(space.residuals[[0, -1]].max() <= tolerance * 45)

    space = thick_restart(operator, first_space(operator, 6), 6, 100, done)
    assert done(space)
    assert space.num_matvecs < 40
    assert space.values[0] == pytest.approx(-30, rel=tolerance)
    assert space.values[-1] == pytest.approx(45, rel=tolerance)


def test_a_restarted_run_is_as_good_as_its_length() -> None:
    """Further products never worsen either end, and end far closer than the first `size` of them."""
    A = symmetric(SPREAD["two-sided"])
    operator = DenseOperator(A)
    space = first_space(operator, 8)
    ends = [space.values[[0, -1]]]
    for _ in range(10):
        space = thick_restart(operator, space, 8, 4, never)
        ends.append(space.values[[0, -1]])
    low, high = np.array(ends).T
    assert (np.diff(low) <= 1e-12).all()
    assert (np.diff(high) >= -1e-12).all()
    assert 1 - high[-1] < 1e-3 * (1 - high[0])
    assert 1 + low[-1] < 1e-3 * (1 + low[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_invariant_space_ends_it(dtype: torch.dtype) -> None:
    levels = torch.zeros(40, dtype=dtype)
    levels[:5] = torch.tensor([-4.0, 1, 2, 3, 9])
    operator = CountingOperator(DenseOperator(torch.diag(levels)))
    space = thick_restart(operator, first_space(operator, 3), 16, 200, never)
    assert space.num_matvecs == operator.num_matvecs <= 7  # 5 levels and 0, and the product that finds nothing new
    assert space.coupling.tolist() == [0] * len(space.values)
    assert space.residual.tolist() == [0] * 40
    np.testing.assert_allclose(space.values, [-4, 0, 1, 2, 3, 9], atol=30 * torch.finfo(dtype).eps)
    assert thick_restart(operator, space, 16, 200, never) is space


@pytest.mark.parametrize("n", [4, 5, 9])
def test_more_room_than_dimensions(n: int) -> None:
    operator = CountingOperator(DenseOperator(symmetric(np.arange(1.0, n + 1))))
    space = thick_restart(operator, first_space(operator, 2), 64, 100, never)
    assert operator.num_matvecs == space.num_matvecs == n
    np.testing.assert_allclose(space.values, np.arange(1.0, n + 1), atol=1e-12)


def test_too_little_room_is_refused() -> None:
    operator = DenseOperator(symmetric(SPECTRA["flat"]))
    with pytest.raises(ValueError, match=r"^size=3: a restart needs room for 4 vectors$"):
        thick_restart(operator, first_space(operator, 3), 3, 10, never)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float64, 1e200), (torch.float64, math.inf), (torch.float32, 1e38), (torch.float32, math.nan)],
)
def test_a_product_that_overflows_is_no_residual(dtype: torch.dtype, scale: float) -> None:
    """No number that is not finite enters the projected matrix, whose eigenvalues would be silently wrong."""
    fine = DenseOperator(torch.full((40, 40), 1.0, dtype=dtype) + torch.diag(torch.arange(40.0, dtype=dtype)))
    space = first_space(fine, 8)
    broken = CountingOperator(DenseOperator(fine.A * scale))
    message = re.escape(f"a Lanczos coefficient in {dtype} is not finite: |Av|^2 overflows")
    with pytest.raises(FloatingPointError, match=f"^{message}$"):
        thick_restart(broken, space, 8, 40, never)
    assert broken.num_matvecs == 1
    assert np.isfinite(space.projected).all()


class Watched(DenseOperator):
    """A matrix that counts, at each product, the vectors alive that were made after it."""

    def __init__(self, A: Tensor):
        super().__init__(A)
        gc.collect()  # what is garbage, of whatever ran before, is not alive
        self.before = self.columns()  # held, so that no address is used again
        self.known = {t.untyped_storage().data_ptr() for t in self.before}
        self.most = 0

    def columns(self) -> list[Tensor]:
        """The tensors alive that are as long as a vector."""
        gc.collect()  # a younger generation alone would miss what died old
        tensors = [t for t in gc.get_objects() if type(t) is Tensor and t.layout is torch.strided]
        return [t for t in tensors if t.device == self.device and t.ndim and t.shape[0] == self.shape[0]]

    def _matmat(self, V: Tensor) -> Tensor:
        alive = [t.untyped_storage() for t in self.columns()]
        sizes = {s.data_ptr(): s.nbytes() // (8 * self.shape[0]) for s in alive if s.data_ptr() not in self.known}
        self.most = max(self.most, sum(sizes.values()))
        return super()._matmat(V)


def most_alive(size: int) -> int:
    """Vectors alive at once over two cycles of a restarted run of this size."""
    A = symmetric(np.linspace(-1, 1, 157) ** 3)  # a length that nothing else has
    operator, plain = Watched(A), DenseOperator(A)
    space = thick_restart(operator, first_space(plain, size), size, 10, never)
    assert space.basis.shape[1] == size
    return operator.most


def test_it_holds_no_more_vectors_than_it_says() -> None:
    """In a process of its own: what other tests leave behind is not counted."""
    size, code = 10, "from tests.linalg.krylov.test_restart import most_alive; print(most_alive(10))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert size + 1 <= int(done.stdout) <= 1.5 * size + 2 + 1  # and the vector in hand
