"""Objects that the conversion to operators refuses, each with a message of one line."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from scalecurv.linalg.foreign import aslinearoperator
from scalecurv.linalg.krylov.extremes import extreme_eigenvalues
from scalecurv.linalg.krylov.ritz import Remainder

S = np.diag([1.0, 2.0, 3.0])


class Anything:
    """Has the attributes that it is given, and takes @."""

    def __init__(self, **attributes: Any):
        self.__dict__.update(attributes)

    def __matmul__(self, V: np.ndarray) -> np.ndarray:
        return V[:2]


def test_what_is_no_operator() -> None:
    for A, message in [
        (3.0, "a float is no operator; give something with shape, dtype and @"),
        ([[1.0]], "a list is no operator; give something with shape, dtype and @"),
        (Anything(), "an Anything is no operator; give something with shape, dtype and @"),
        (
            Anything(shape=(3, 3)),
            "Anything has no dtype; give dtype=torch.float64 where it multiplies tensors, dtype=np.float64 where it "
            "multiplies arrays",
        ),
        (Anything(shape=(2, 3, 3), dtype=torch.float64), "Anything has shape (2, 3, 3); an operator has two axes"),
        (S * 1j, "ndarray holds complex128; only real operators are multiplied by"),
        (torch.eye(2) * 1j, "Tensor holds torch.complex64; only real operators are multiplied by"),
        (scipy.sparse.csr_array(S * 1j), "csr_array holds complex128; only real operators are multiplied by"),
        (S.astype(int), "ndarray holds int64; give dtype=torch.float64, or the dtype to multiply in"),
        (
            scipy.sparse.csr_array(S.astype(int)),
            "csr_array holds int64; give dtype=torch.float64, or the dtype to multiply in",
        ),
        (scipy.sparse.csr_array(S.astype(np.longdouble)), "float128 is a dtype that torch does not know"),
    ]:
        with pytest.raises(TypeError) as caught:
            aslinearoperator(A)
        assert str(caught.value) == message


def test_what_is_complex_is_not_made_real_by_a_dtype() -> None:
    for A in (S * 1j, torch.eye(2) * 1j, scipy.sparse.csr_array(S * 1j)):
        with pytest.raises(TypeError, match=r"only real operators are multiplied by$"):
            aslinearoperator(A, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"^ndarray holds torch.complex64; only real operators are multiplied by$"):
        aslinearoperator(S, dtype=torch.complex64)


def test_a_rectangle_is_not_symmetric() -> None:
    for A in (np.ones((2, 3)), torch.ones(2, 3), scipy.sparse.csr_array(np.ones((2, 3)))):
        with pytest.raises(ValueError, match=f"^{type(A).__name__} is 2 x 3: symmetric=True is for a square operator$"):
            aslinearoperator(A, symmetric=True)


def test_symmetry_is_declared_and_asked_for_in_words() -> None:
    A = scipy.sparse.linalg.aslinearoperator(S)
    advice = "where it is symmetric, pass aslinearoperator(A, symmetric=True)"
    with pytest.raises(TypeError) as caught:
        extreme_eigenvalues(A, 0, 0.1, 5)
    assert (
        str(caught.value)
        == f"lanczos needs a symmetric operator, {type(A).__name__} does not declare itself so; {advice}"
    )
    with pytest.raises(TypeError) as caught:
        Remainder(A, torch.eye(3, 1, dtype=torch.float64))
    assert (
        str(caught.value) == f"a remainder needs a symmetric operator, {type(A).__name__} is not declared so; {advice}"
    )


def test_a_product_of_another_shape_is_refused() -> None:
    A = aslinearoperator(Anything(shape=(3, 3), dtype=np.dtype(float)))
    with pytest.raises(TypeError, match=r"^Anything did not return a block of shape \(3, 1\)$"):
        A @ torch.ones(3, 2)


def test_where_there_is_no_adjoint_it_is_said() -> None:
    forward = scipy.sparse.linalg.LinearOperator((2, 3), matvec=lambda v: v[:2], dtype=float)
    for A in (forward, Anything(shape=(2, 3), dtype=np.dtype(float))):
        wanted = (
            f"{type(A).__name__} has no adjoint product: give it rmatmat, adjoint, H or T, or pass symmetric=True "
            "where it is symmetric"
        )
        with pytest.raises(TypeError) as caught:
            aslinearoperator(A).rmatmat(torch.ones(2, 2))
        assert str(caught.value) == wanted
