"""Every LinearOperator keeps the promises of the base class."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from tests.matrices import SPECTRA, symmetric
from tests.networks import problem

TALL = torch.linspace(-1, 1, 35, dtype=torch.float64).view(7, 5) ** 3
FACTORIES: dict[str, Callable[[], LinearOperator]] = {
    "dense": lambda: DenseOperator(TALL),
    "dense symmetric": lambda: DenseOperator(symmetric(SPECTRA["indefinite"])),
    "counting": lambda: CountingOperator(DenseOperator(TALL)),
    "hessian": lambda: HessianOperator(problem("tied", "cross_entropy", batch_size=3)),
    "hessian float32": lambda: HessianOperator(problem("relu", dtype=torch.float32)),
    "gauss newton": lambda: GaussNewtonOperator(problem("tanh", "cross_entropy")),
    "jacobian": lambda: JacobianOperator(problem("conv", batch_size=3)),
    "sum": lambda: DenseOperator(TALL) - 2 * DenseOperator(TALL.cos()),
    "product": lambda: DenseOperator(TALL.T) @ DenseOperator(TALL.sin()),
    "gram": lambda: (lambda A: A.T @ A / 3)(DenseOperator(TALL)),
    "transposed": lambda: DenseOperator(TALL).T,
}


def block(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


@pytest.fixture(params=FACTORIES, name="operator")
def _operator(request: pytest.FixtureRequest) -> LinearOperator:
    return FACTORIES[request.param]()


class TestEveryOperator:
    """The tests that every operator passes."""

    def test_a_block_is_its_columns(self, operator: LinearOperator) -> None:
        V = block(operator.shape[1], 4, operator.dtype)
        product = operator.matmat(V)
        assert product.shape == (operator.shape[0], 4)
        assert product.dtype == operator.dtype
        one_by_one = torch.stack([operator.matvec(v) for v in V.T], dim=1)
        torch.testing.assert_close(product, one_by_one, rtol=1e-5 if operator.dtype == torch.float32 else 1e-12, atol=0)

    def test_the_adjoint_is_the_transpose(self, operator: LinearOperator) -> None:
        U, V = block(operator.shape[0], 3, operator.dtype), block(operator.shape[1], 2, operator.dtype)
        left, right = U.T @ operator.matmat(V), operator.rmatmat(U).T @ V
        torch.testing.assert_close(left, right, rtol=1e-4 if operator.dtype == torch.float32 else 1e-12, atol=1e-12)

    def test_symmetric_means_symmetric(self, operator: LinearOperator) -> None:
        A = operator.matmat(torch.eye(operator.shape[1]))
        same = A.shape[0] == A.shape[1] and torch.allclose(A, A.T, atol=1e-6)
        assert operator.symmetric == same

    def test_arrays_in_arrays_out(self, operator: LinearOperator) -> None:
        V = block(operator.shape[1], 2).numpy()
        for given in (V, V[:, 0], V[:, ::-1], V[:, :1][:, ::-1], V[:, ::-1].astype(">f8"), V.T.copy().T):
            answer = operator @ given
            assert isinstance(answer, np.ndarray)
            np.testing.assert_array_equal(
                answer, (operator @ torch.from_numpy(np.array(given, dtype=float, order="C"))).numpy()
            )
        frozen = V.copy()
        frozen.setflags(write=False)
        np.testing.assert_array_equal(operator @ frozen, operator @ V)

    def test_casts_what_it_is_given(self, operator: LinearOperator) -> None:
        V = torch.ones(operator.shape[1], 1, dtype=torch.int64)
        torch.testing.assert_close(operator.matmat(V), operator.matmat(V.to(operator.dtype)), rtol=0, atol=0)

    def test_no_columns_no_products(self, operator: LinearOperator) -> None:
        assert operator.matmat(torch.empty(operator.shape[1], 0)).shape == (operator.shape[0], 0)

    def test_a_wrong_shape_is_answered_with_advice(self, operator: LinearOperator) -> None:
        (m, n), name = operator.shape, operator.name
        for V in (torch.ones(n + 1, 2), torch.ones(n), torch.ones(n, 2, 1)):
            wanted = f"{name} {m} x {n} got a block of shape {tuple(V.shape)}; give shape ({n}, k), one vector a column"
            with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
                operator.matmat(V)
        wanted = f"{name} {m} x {n} got a block of shape ({m + 1}, 1); give shape ({m}, k), one vector a column"
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
            operator.rmatmat(torch.ones(m + 1, 1))


@pytest.mark.parametrize("name", FACTORIES)
def test_written_out_it_is_its_products(name: str) -> None:
    operator = FACTORIES[name]()
    A, eye = operator.to_dense(), torch.eye(operator.shape[1], dtype=operator.dtype)
    assert (A.shape, A.dtype) == (operator.shape, operator.dtype)
    torch.testing.assert_close(A, operator.matmat(eye), rtol=1e-5 if A.dtype == torch.float32 else 1e-12, atol=1e-12)
    size = A.numel() * A.dtype.itemsize
    wanted = f"takes {size} bytes as a matrix, and memory is {size - 1}; multiply by vectors, or give to_dense(memory="
    with pytest.raises(ValueError, match=re.escape(f"{wanted}{size})")):
        operator.to_dense(size - 1)
    assert torch.equal(operator.to_dense(size), A)


def test_a_wide_operator_is_written_out_by_rows_where_it_has_an_adjoint() -> None:
    wide = CountingOperator(DenseOperator(TALL.T))
    assert torch.equal(wide.to_dense(), TALL.T)
    assert (wide.num_matvecs, wide.num_rmatvecs) == (0, 5)

    class Forward(LinearOperator):
        shape, dtype, device = (5, 7), torch.float64, torch.device("cpu")

        def _matmat(self, V: torch.Tensor) -> torch.Tensor:
            return TALL.T @ V

    assert torch.equal(Forward().to_dense(), TALL.T)


def test_it_says_in_one_line_what_it_is() -> None:
    assert repr(FACTORIES["hessian float32"]()) == "HessianOperator(74 x 74, float32, cpu)"
    assert repr(FACTORIES["sum"]()) == "(DenseOperator - 2 * DenseOperator)(7 x 5, float64, cpu)"
    assert repr(-FACTORIES["sum"]()) == "(-(DenseOperator - 2 * DenseOperator))(7 x 5, float64, cpu)"
    assert repr(FACTORIES["gram"]()) == "(0.333333 * (DenseOperator.T @ DenseOperator))(5 x 5, float64, cpu)"


def test_a_rectangular_operator_without_adjoint_says_so() -> None:
    class Forward(LinearOperator):
        shape, dtype, device = (2, 3), torch.float64, torch.device("cpu")

        def _matmat(self, V: torch.Tensor) -> torch.Tensor:
            return V[:2]

    wanted = "Forward has no adjoint product: define _rmatmat, or declare it symmetric"
    with pytest.raises(TypeError, match=f"^{wanted}$"):
        Forward().rmatmat(torch.ones(2, 1))
