"""Operators of SciPy, curvlinops and skerch at the door, and ours at SciPy's."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

import scalecurv
from scalecurv.curvature.gauss_newton import GaussNewtonOperator
from scalecurv.curvature.hessian import HessianOperator
from scalecurv.curvature.jacobian import JacobianOperator
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.dense import DenseOperator
from scalecurv.linalg.extremes import extreme_eigenvalues
from scalecurv.linalg.foreign import aslinearoperator
from scalecurv.linalg.hutchinson import terms, trace_estimate
from scalecurv.linalg.lanczos import lanczos, rayleigh_quotient
from scalecurv.linalg.operator import LinearOperator
from scalecurv.linalg.range_finder import singular_values
from scalecurv.linalg.remainder import Remainder
from tests.networks import data, network, oracle, problem

RNG = np.random.default_rng(0)
S = (lambda A: (A + A.T) / 2)(RNG.standard_normal((12, 12)))
R = RNG.standard_normal((5, 12))


class VectorsOnly:
    """A symmetric matrix that takes one vector at a time."""

    shape, dtype = S.shape, S.dtype

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
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


def curvlinops_of(kind: str, name: str, loss: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import curvlinops

    model, (x, y) = network(name), data(loss)
    mean = nn.MSELoss(reduction="mean") if loss == "mse" else nn.CrossEntropyLoss()
    parameters = [p for p in model.parameters() if p.requires_grad]
    return getattr(curvlinops, kind)(model, mean, parameters, [(x, y)])


SYMMETRIC: dict[str, Any] = {
    "array": lambda: S,
    "tensor": lambda: torch.from_numpy(S),
    "scipy operator": lambda: scipy.sparse.linalg.aslinearoperator(S),
    "sparse matrix": lambda: scipy.sparse.csr_array(S),
    "vectors only": VectorsOnly,
    "skerch": lambda: skerch_of(S),
    "ours, by way of SciPy": lambda: DenseOperator(torch.from_numpy(S)).to_scipy(),
}


def at_the_door(A: Any) -> LinearOperator:
    return aslinearoperator(A, symmetric=True, dtype=torch.float64)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_every_algorithm_takes_them(name: str) -> None:
    operator = at_the_door(SYMMETRIC[name]())
    eye = torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(operator @ eye, torch.from_numpy(S), rtol=0, atol=1e-14)
    torch.testing.assert_close(operator.rmatmat(eye), torch.from_numpy(S), rtol=0, atol=1e-14)
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
    """Where the object tells all that there is to know."""
    A = SYMMETRIC[name]()
    counted = CountingOperator(A)
    v = torch.ones(12, dtype=torch.float64)
    counted.matvec(v)
    assert counted.num_matvecs == 1
    assert rayleigh_quotient(A, v) == pytest.approx(S.sum() / 12, rel=1e-12)
    assert terms(A, 0, range(3)).shape == (3, 2)
    assert singular_values(A, 0, 1 << 20).values == pytest.approx(np.linalg.svd(S, compute_uv=False), rel=1e-10)


@pytest.mark.parametrize("make", [scipy.sparse.linalg.aslinearoperator, scipy.sparse.csr_array, skerch_of, lambda A: A])
def test_rectangular_ones_and_their_adjoints(make: Any) -> None:
    operator = aslinearoperator(make(R), dtype=torch.float64)
    U, V = torch.from_numpy(RNG.standard_normal((5, 3))), torch.from_numpy(RNG.standard_normal((12, 2)))
    torch.testing.assert_close(operator @ V, torch.from_numpy(R) @ V, rtol=0, atol=1e-13)
    torch.testing.assert_close(operator.rmatmat(U), torch.from_numpy(R.T) @ U, rtol=0, atol=1e-13)
    assert not operator.symmetric
    assert singular_values(operator, 0, 1 << 20).values == pytest.approx(np.linalg.svd(R, compute_uv=False), rel=1e-10)


@pytest.mark.parametrize(("name", "loss"), [("relu", "cross_entropy"), ("tanh", "cross_entropy"), ("tanh", "mse")])
def test_the_hessian_of_curvlinops_is_ours(name: str, loss: str) -> None:
    at, scale = problem(name, loss), 2 / 3 if loss == "mse" else 1.0  # nn.MSELoss: over outputs too, without the half
    for kind, ours in (("HessianLinearOperator", HessianOperator), ("GGNLinearOperator", GaussNewtonOperator)):
        theirs = curvlinops_of(kind, name, loss)
        operator = aslinearoperator(theirs)
        assert operator.symmetric  # it says so
        V = torch.randn(at.num_params, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        wanted = scale * (ours(at) @ V)
        torch.testing.assert_close(operator @ V, wanted, rtol=0, atol=1e-12 * float(wanted.abs().max()))
        values = torch.linalg.eigvalsh(
            oracle(name, loss).hessian if "Hess" in kind else oracle(name, loss).gauss_newton
        )
        ends = extreme_eigenvalues(theirs, 0, 1e-6, at.num_params)
        assert ends.largest.value == pytest.approx(scale * float(values[-1]), rel=1e-6)


def test_the_jacobian_of_curvlinops_has_an_adjoint() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import curvlinops
    model, (x, y) = network("tanh"), data("mse")
    theirs = aslinearoperator(curvlinops.JacobianLinearOperator(model, list(model.parameters()), [(x, y)]))
    ours = JacobianOperator(problem("tanh"))
    U = torch.randn(ours.shape[0], 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    V = torch.randn(ours.shape[1], 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(theirs @ V, ours @ V, rtol=0, atol=1e-12)
    torch.testing.assert_close(theirs.rmatmat(U), ours.rmatmat(U), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "tanh", "conv"])
def test_scipy_finds_the_eigenvalues_of_our_hessian(name: str) -> None:
    H = scalecurv.hessian(problem(name)).to_scipy()
    values = np.linalg.eigvalsh(oracle(name).hessian.numpy())
    found = scipy.sparse.linalg.eigsh(H, k=3, which="LA", return_eigenvectors=False)
    assert sorted(found) == pytest.approx(values[-3:].tolist(), rel=1e-8)
    eye = np.eye(H.shape[1])
    assert pytest.approx(oracle(name).hessian.numpy(), abs=1e-12) == H @ eye
    assert pytest.approx(oracle(name).hessian.numpy()[:, 0], abs=1e-12) == H.matvec(eye[:, :1])[:, 0]
    assert H.dtype == np.float64


def test_scipy_takes_the_jacobian_and_its_adjoint() -> None:
    ours = JacobianOperator(problem("tanh")).to_scipy()
    J = oracle("tanh").jacobian.numpy()
    assert pytest.approx(J, abs=1e-12) == ours @ np.eye(J.shape[1])
    assert pytest.approx(J.T, abs=1e-12) == ours.H @ np.eye(J.shape[0])
    assert pytest.approx(J[0], abs=1e-12) == ours.rmatvec(np.eye(J.shape[0])[0])
    b = J @ np.ones(J.shape[1])
    solution = scipy.sparse.linalg.lsqr(ours, b, atol=1e-14, btol=1e-14)[0]
    assert pytest.approx(b, abs=1e-9) == J @ solution


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_and_back(dtype: torch.dtype) -> None:
    ours = HessianOperator(problem("tanh", dtype=dtype))
    back = aslinearoperator(ours.to_scipy(), symmetric=True)
    V = torch.ones(ours.shape[0], 2, dtype=dtype)
    assert torch.equal(back @ V, ours @ V)
    assert (back.dtype, back.shape) == (dtype, ours.shape)
    assert aslinearoperator(ours) is ours


class Shapeless:
    pass


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (3.0, "a float is no operator; give something with shape, dtype and @"),
        (Shapeless(), "a Shapeless is no operator; give something with shape, dtype and @"),
        (skerch_of(S), "Linop has no dtype; give dtype=torch.float64, or what it multiplies by"),
        (
            scipy.sparse.csr_array(S.astype(complex)),
            "csr_array holds complex128; only real floating-point operators are multiplied by",
        ),
        (
            scipy.sparse.csr_array(S.astype(int)),
            "csr_array holds int64; only real floating-point operators are multiplied by",
        ),
        (scipy.sparse.csr_array(S.astype(np.longdouble)), "float128 is a dtype that torch does not know"),
    ],
)
def test_what_is_no_operator(A: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        aslinearoperator(A)
    assert str(caught.value) == message


def test_symmetry_is_declared_and_asked_for_in_words() -> None:
    A = scipy.sparse.linalg.aslinearoperator(S)
    advice = "where it is, say aslinearoperator(A, symmetric=True)"
    with pytest.raises(TypeError) as caught:
        extreme_eigenvalues(A, 0, 0.1, 5)
    assert (
        str(caught.value)
        == f"lanczos needs a symmetric operator, {type(A).__name__} does not declare itself so; {advice}"
    )
    with pytest.raises(TypeError) as caught:
        Remainder(A, torch.eye(12, 1, dtype=torch.float64))
    assert (
        str(caught.value) == f"a remainder needs a symmetric operator, {type(A).__name__} is not declared so; {advice}"
    )


class Wrong:
    """Returns its argument's transpose."""

    shape, dtype = (3, 3), np.dtype(float)

    def __matmul__(self, V: np.ndarray) -> np.ndarray:
        return V[:2]


def test_a_product_of_another_shape_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Wrong did not return a block of shape \(3, 1\)$"):
        aslinearoperator(Wrong()) @ torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(TypeError, match="has no adjoint product"):
        aslinearoperator(Wrong()).rmatmat(torch.ones(3, 2, dtype=torch.float64))
