"""Operators are added, scaled, composed and transposed like the matrices that they stand for."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator, aslinearoperator
from scalecurv.linalg.operator import LinearOperator
from scalecurv.operators.gauss_newton import GaussNewtonOperator, ResidualOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from tests.matrices import orthogonal, symmetric
from tests.networks import problem

N = 4
PAIR = (DenseOperator(orthogonal(N, 1)), DenseOperator(symmetric(np.array([3.0, 1, -1, -2]))))
A, S = PAIR
M = orthogonal(N, 2)


def expressions() -> st.SearchStrategy[tuple[LinearOperator, Tensor]]:
    """Draw an expression of square operators, and its matrix."""
    leaves = st.sampled_from([(operator, operator.A) for operator in PAIR])
    numbers = st.sampled_from([-1, 2, 0.5, np.float32(0.25), torch.tensor(3.0), np.array(-2), Fraction(1, 4)])

    def grown(inner: Any) -> Any:
        return st.one_of(
            st.tuples(inner, inner).map(lambda p: (p[0][0] + p[1][0], p[0][1] + p[1][1])),
            st.tuples(inner, inner).map(lambda p: (p[0][0] - p[1][0], p[0][1] - p[1][1])),
            st.tuples(inner, inner).map(lambda p: (p[0][0] @ p[1][0], p[0][1] @ p[1][1])),
            st.tuples(numbers, inner).map(lambda p: (p[0] * p[1][0], float(p[0]) * p[1][1])),
            st.tuples(inner, numbers).map(lambda p: (p[0][0] / p[1], p[0][1] / float(p[1]))),
            inner.map(lambda p: (p[0].T, p[1].T)),
            inner.map(lambda p: (-p[0].T @ p[0], -p[1].T @ p[1])),
        )

    return st.recursive(leaves, grown, max_leaves=6)


@settings(max_examples=100, deadline=None)
@given(expressions())
def test_an_expression_is_the_expression_of_matrices(expression: tuple[LinearOperator, Tensor]) -> None:
    operator, matrix = expression
    slack = 1e-12 * max(1.0, float(matrix.abs().max()))
    torch.testing.assert_close(operator.to_dense(), matrix, rtol=0, atol=slack)
    torch.testing.assert_close(operator.T.to_dense(), matrix.T, rtol=0, atol=slack)
    torch.testing.assert_close(operator.rmatmat(M), matrix.T @ M, rtol=0, atol=10 * slack)
    assert not operator.symmetric or torch.allclose(matrix, matrix.T, atol=slack)


def test_what_is_symmetric_by_construction_is_declared_so() -> None:
    J, B = DenseOperator(M[:, :3]), DenseOperator(symmetric(np.array([1.0, 2, 3])))
    yes = [
        S + S,
        2 * S,
        -S / 3,
        A + A.T,
        0.5 * A + 0.5 * A.T,
        S - (A + A.T),
        J.T @ J,
        J @ J.T,
        J.T @ J / 3,
        (J / 2).T @ J,
        J.T @ S @ J,
        J.T @ (S @ J),
        S @ S,
        S @ A @ S @ A.T @ S,
        (A @ J).T @ (A @ J),
        J @ B @ J.T + S,
    ]
    no = [
        A + S,
        A - A.T,
        2 * A + 3 * A.T,
        2 * A,
        A @ S,
        S @ A,
        A @ A,
        J.T @ A @ J,
        A + A.T + A,
        2 * A + A.T,
        DenseOperator(M).T @ A,
    ]
    assert [operator.symmetric for operator in yes] == [True] * len(yes)
    assert [operator.symmetric for operator in no] == [False] * len(no)
    for operator in yes:
        torch.testing.assert_close(operator.to_dense(), operator.to_dense().T, rtol=0, atol=1e-12)
        assert operator.T is operator
    assert A.T.T is A


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_the_other_side_may_be_of_another_library() -> None:
    makes: list[Callable[[np.ndarray], Any]] = [
        lambda B: B,
        torch.from_numpy,
        lambda B: torch.from_numpy(B).to_sparse_csr(),
        scipy.sparse.csr_array,
        scipy.sparse.linalg.aslinearoperator,
        lambda B: aslinearoperator(B),
    ]
    B, C = M.numpy(), A.A.numpy()
    for make in makes:
        for operator, matrix in [(A + make(B), C + B), (A - make(B), C - B), (A - 2 * (make(B) + A), -C - 2 * B)]:
            np.testing.assert_allclose(operator.to_dense(), matrix, rtol=0, atol=1e-12)
    for make in (lambda B: B, torch.from_numpy, scipy.sparse.csr_array):
        for operator, matrix in [(make(B) + A, B + C), (make(B) - A, B - C)]:
            np.testing.assert_allclose(operator.to_dense(), matrix, rtol=0, atol=1e-12)
    for make in makes[2:]:
        np.testing.assert_allclose((A @ make(B)).to_dense(), C @ B, rtol=0, atol=1e-12)
    np.testing.assert_allclose((scipy.sparse.csr_array(B) @ A).to_dense(), B @ C, rtol=0, atol=1e-12)


def test_arrays_and_tensors_are_multiplied_from_both_sides() -> None:
    J = DenseOperator(M[:, :3])
    for U in (M[:2], M[0], M[:2].numpy(), M[0].numpy()):
        product = U @ J
        assert type(product) is type(U)
        np.testing.assert_allclose(product, U @ J.A if isinstance(U, Tensor) else U @ J.A.numpy(), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=re.escape("4 x 3 got a block of shape (3, 2); give shape (4, k)")):
        M[:2, :3] @ J


def test_the_dtype_is_the_wider_one_and_numbers_leave_it_alone() -> None:
    single, half = DenseOperator(M.float()), DenseOperator(M.half())
    for operator, dtype in [
        (single + A, torch.float64),
        (A @ single, torch.float64),
        (single @ A, torch.float64),
        (half + single, torch.float32),
        (np.float64(2) * single, torch.float32),
        (torch.tensor(2.0, dtype=torch.float64) * single.T, torch.float32),
    ]:
        assert operator.dtype == dtype
        assert (operator @ M).dtype == dtype
        assert operator.rmatmat(M).dtype == dtype
    torch.testing.assert_close((single + A) @ M, M.float().double() @ M + A.A @ M, rtol=0, atol=1e-6)


def test_each_part_is_counted() -> None:
    """A product of a sum or a product takes one of each part, on the side that is multiplied."""
    a, s = CountingOperator(A), CountingOperator(S)
    operator = CountingOperator(a.T @ a / 2 - 3 * s)
    operator.matmat(M)
    assert (operator.cost, operator.num_matvecs) == (3, 12)
    assert (a.num_matvecs, a.num_rmatvecs, s.num_matvecs) == (4, 4, 4)
    assert ((a + a + s) @ (a - s)).cost == 5


def test_a_misfit_is_told_in_one_line() -> None:
    J = DenseOperator(M[:, :3])
    elsewhere = aslinearoperator(M, symmetric=False, device="meta")
    identity = "a number is no operator; for c times the identity give c * scipy.sparse.eye_array(4)"
    scaled = "an operator is scaled by a real number"
    for make, kind, wanted in [
        (lambda: A + J, ValueError, "DenseOperator 4 x 4 + DenseOperator 4 x 3: the shapes differ; give two operators"),
        (lambda: M.numpy() - J, ValueError, "DenseOperator 4 x 4 - DenseOperator 4 x 3: the shapes differ; give two"),
        (lambda: J @ A, ValueError, "DenseOperator 4 x 3 @ DenseOperator 4 x 4: the right side has 4 rows; give an"),
        (lambda: A + elsewhere, ValueError, "they are on cpu and meta; build both on one device"),
        (lambda: A + 1, TypeError, f"DenseOperator + a number: {identity}"),
        (lambda: torch.tensor(1.0) - A, TypeError, f"DenseOperator - a number: {identity}"),
        (lambda: A * A, TypeError, f"DenseOperator * a DenseOperator: {scaled}; use @"),
        (lambda: A * M, TypeError, f"DenseOperator * a Tensor: {scaled}; use @"),
        (lambda: 1j * A, TypeError, f"DenseOperator * a complex: {scaled}"),
        (lambda: A / "2", TypeError, f"DenseOperator / a str: {scaled}; give a number"),
        (lambda: A / 0, ZeroDivisionError, "division by zero"),
    ]:
        with pytest.raises(kind, match=re.escape(wanted)):
            make()
    shifted = S + 2 * scipy.sparse.eye_array(N)
    torch.testing.assert_close(shifted.to_dense(), S.A + 2 * torch.eye(N, dtype=torch.float64))


def test_operators_of_a_loss() -> None:
    """At mse G = J'J / N, and R = H - G."""
    point = problem("relu", "mse")
    H, G, J = HessianOperator(point), GaussNewtonOperator(point), JacobianOperator(point)
    gram = J.T @ J / point.num_data
    assert gram.symmetric
    torch.testing.assert_close(gram.to_dense(), G.to_dense(), rtol=0, atol=1e-12)
    torch.testing.assert_close((H - G).to_dense(), ResidualOperator(point).to_dense(), rtol=0, atol=1e-12)
    top = scipy.sparse.linalg.eigsh((H - 0.5 * G).to_scipy(), 3, which="LA", return_eigenvectors=False)
    assert np.sort(top) == pytest.approx(torch.linalg.eigvalsh(H.to_dense() - G.to_dense() / 2)[-3:].numpy(), rel=1e-9)
