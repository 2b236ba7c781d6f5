"""Operators of a network from curvlinops in this library, and those of this library in SciPy."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn

import scalecurv
from scalecurv.linalg.foreign import aslinearoperator
from scalecurv.linalg.krylov.extremes import extreme_eigenvalues
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from tests.networks import data, network, oracle, problem


def curvlinops_of(kind: str, name: str, loss: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import curvlinops

    model, (x, y) = network(name), data(loss)
    mean = nn.MSELoss(reduction="mean") if loss == "mse" else nn.CrossEntropyLoss()
    parameters = [p for p in model.parameters() if p.requires_grad]
    return getattr(curvlinops, kind)(model, mean, parameters, [(x, y)])


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


def test_a_block_of_scipy_is_one_block_here() -> None:
    class Jacobian(JacobianOperator):
        widths: list[int] = []

        def _matmat(self, V: torch.Tensor) -> torch.Tensor:
            self.widths.append(V.shape[1])
            return super()._matmat(V)

        def _rmatmat(self, U: torch.Tensor) -> torch.Tensor:
            self.widths.append(-U.shape[1])
            return super()._rmatmat(U)

    ours = Jacobian(problem("tanh"))
    theirs = ours.to_scipy()
    theirs.matmat(np.eye(ours.shape[1], 4))
    theirs.rmatmat(np.eye(ours.shape[0], 3))
    theirs.matvec(np.ones(ours.shape[1]))
    assert ours.widths == [4, -3, 1]
