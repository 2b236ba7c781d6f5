"""Conversion of operators of SciPy, skerch and linear_operator, and of any object that takes @."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator, aslinearoperator
from scalecurv.linalg.hutchinson import terms, trace_estimate
from scalecurv.linalg.krylov.extremes import extreme_eigenvalues
from scalecurv.linalg.krylov.lanczos import lanczos
from scalecurv.linalg.singular_values import singular_values

RNG = np.random.default_rng(0)
S = (lambda A: (A + A.T) / 2)(RNG.standard_normal((12, 12)))
R = RNG.standard_normal((5, 12))


class VectorsOnly:
    """A symmetric matrix that takes one vector at a time and has no dtype."""

    shape = S.shape

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        self.asked.append(v.ndim)
        if v.ndim != 1:
            raise ValueError("one vector at a time")
        return S @ v


def skerch_of(A: np.ndarray) -> Any:
    from skerch.linops import BaseLinOp

    class Linop(BaseLinOp):
        def matmul(self, x: Tensor) -> Tensor:
            return torch.from_numpy(A) @ x

        def rmatmul(self, x: Tensor) -> Tensor:
            return x @ torch.from_numpy(A)

    return Linop(A.shape)


def linear_operator_of(A: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import linear_operator

    return linear_operator.to_linear_operator(nn.Parameter(torch.from_numpy(A)))


SYMMETRIC: dict[str, Any] = {
    "array": lambda: S,
    "array, not to be written to": lambda: np.broadcast_to(S, S.shape),
    "array of another byte order": lambda: S.astype(">f8"),
    "tensor": lambda: torch.from_numpy(S),
    "parameter": lambda: nn.Parameter(torch.from_numpy(S)),
    "sparse tensor": lambda: torch.from_numpy(S).to_sparse(),
    "sparse tensor, by rows": lambda: torch.from_numpy(S).to_sparse_csr(),
    "scipy operator": lambda: scipy.sparse.linalg.aslinearoperator(S),
    "sparse matrix": lambda: scipy.sparse.csr_array(S),
    "vectors only": VectorsOnly,
    "skerch": lambda: skerch_of(S),
    "linear_operator": lambda: linear_operator_of(S),
    "ours, not declared": lambda: DenseOperator(torch.from_numpy(S), symmetric=False),
    "ours, by way of SciPy": lambda: DenseOperator(torch.from_numpy(S)).to_scipy(),
}

DTYPES = {"vectors only": np.float64, "skerch": torch.float64}  # of those that do not tell


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_every_algorithm_takes_them() -> None:
    for name in SYMMETRIC:
        operator = aslinearoperator(SYMMETRIC[name](), symmetric=True, dtype=DTYPES.get(name))
        eye = torch.eye(12, dtype=torch.float64)
        torch.testing.assert_close(operator @ eye, torch.from_numpy(S), rtol=0, atol=1e-12)
        torch.testing.assert_close(operator.rmatmat(eye), torch.from_numpy(S), rtol=0, atol=1e-12)
        assert (operator.shape, operator.dtype, operator.symmetric) == ((12, 12), torch.float64, True)
        values = np.linalg.eigvalsh(S)
        ends = extreme_eigenvalues(operator, 0, 1e-8, 12)
        assert (ends.largest.value, ends.smallest.value) == pytest.approx((values[-1], values[0]), rel=1e-10)
        run = lanczos(operator, torch.ones(12, dtype=torch.float64), 12)
        assert sorted(run.quadrature.nodes) == pytest.approx(values.tolist(), abs=1e-10)
        found = singular_values(operator, 0, 1 << 20)
        assert found.values == pytest.approx(np.linalg.svd(S, compute_uv=False), rel=1e-10)
        rows = terms(operator, 0, range(400))
        trace = trace_estimate(rows)
        assert abs(trace.value - np.trace(S)) <= 2.5 * trace.halfwidth


@pytest.mark.parametrize("name", ["array", "scipy operator", "sparse matrix"])
def test_no_door_need_be_opened_by_hand(name: str) -> None:
    """Algorithms convert by themselves an object that has a shape and a dtype."""
    A = SYMMETRIC[name]()
    counted = CountingOperator(A)
    v = torch.ones(12, dtype=torch.float64)
    counted.matvec(v)
    assert counted.num_matvecs == 1
    assert terms(A, 0, range(3)).shape == (3, 2)
    assert singular_values(A, 0, 1 << 20).values == pytest.approx(np.linalg.svd(S, compute_uv=False), rel=1e-10)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_rectangular_ones_and_their_adjoints() -> None:
    for make in [
        scipy.sparse.linalg.aslinearoperator,
        scipy.sparse.csr_array,
        skerch_of,
        linear_operator_of,
        lambda A: torch.from_numpy(A).to_sparse_csr(),
        lambda A: A,
    ]:
        operator = aslinearoperator(make(R), dtype=torch.float64)
        U, V = torch.from_numpy(RNG.standard_normal((5, 3))), torch.from_numpy(RNG.standard_normal((12, 2)))
        torch.testing.assert_close(operator @ V, torch.from_numpy(R) @ V, rtol=0, atol=1e-12)
        torch.testing.assert_close(operator.rmatmat(U), torch.from_numpy(R.T) @ U, rtol=0, atol=1e-12)
        assert not operator.symmetric
        assert singular_values(operator, 0, 1 << 20).values == pytest.approx(
            np.linalg.svd(R, compute_uv=False), rel=1e-10
        )


def test_products_come_in_the_dtype_asked_for() -> None:
    for own in [np.float32, np.float64, np.int64]:
        for told in [torch.float32, np.float64]:
            for make in [lambda A: A, torch.from_numpy, scipy.sparse.csr_array]:
                A = np.arange(6).reshape(2, 3).astype(own)
                operator = aslinearoperator(make(A), dtype=told)
                product = operator @ torch.full((3, 2), 0.5)
                wanted = torch.float64 if told is np.float64 else torch.float32
                assert (operator.dtype, product.dtype) == (wanted, wanted)
                assert product.tolist() == [[1.5, 1.5], [6.0, 6.0]]
                assert operator.rmatmat(torch.full((2, 1), 0.5)).tolist() == [[1.5], [2.5], [3.5]]


def test_tensors_are_handed_over_in_the_dtype_of_what_takes_them() -> None:
    single = linear_operator_of(R.astype(np.float32))
    operator = aslinearoperator(single, dtype=torch.float64)
    product = operator @ torch.ones(12, 1, dtype=torch.float64)
    assert (product.dtype, product.requires_grad) == (torch.float64, False)
    torch.testing.assert_close(product.float(), torch.from_numpy(R).float() @ torch.ones(12, 1), rtol=1e-5, atol=1e-5)
    assert aslinearoperator(single).dtype == torch.float32


def test_a_matrix_is_put_where_it_is_asked_for() -> None:
    for A in (S, torch.from_numpy(S), skerch_of(S), DenseOperator(torch.from_numpy(S))):
        assert aslinearoperator(A, symmetric=True, dtype=torch.float64, device="meta").device.type == "meta"
        assert aslinearoperator(A, dtype=torch.float64).device.type == "cpu"


def test_vectors_are_asked_for_once_it_is_known_that_blocks_are_not_taken() -> None:
    A = VectorsOnly()
    operator = aslinearoperator(A, dtype=np.float64)
    for _ in range(2):
        operator.matmat(torch.ones(12, 3))
    assert A.asked == [2, 1, 1, 1, 1, 1, 1]


def test_what_is_declared_of_ours_holds_and_costs_the_same() -> None:
    class Twice(DenseOperator):
        cost = 2

    ours = Twice(torch.from_numpy(S), symmetric=False)
    declared = aslinearoperator(ours, symmetric=True)
    assert (declared.symmetric, declared.cost, declared.name) == (True, 2, "Twice")
    assert aslinearoperator(ours, symmetric=False, dtype=np.float64, device="cpu") is ours


def test_memory_that_runs_out_is_not_asked_for_again() -> None:
    class Large:
        shape, dtype, asked = (3, 3), torch.float64, 0

        def __matmul__(self, V: Tensor) -> Tensor:
            self.asked += 1
            raise torch.OutOfMemoryError

    A = Large()
    with pytest.raises(torch.OutOfMemoryError):
        aslinearoperator(A).matmat(torch.ones(3, 2))
    assert A.asked == 1
