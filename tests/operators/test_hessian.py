"""Hessian products against the dense Hessian, on every network, loss and reduction."""

import pytest
import torch

from scalecurv.operators.hessian import HessianOperator
from scalecurv.problem.loss import Loss
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.networks import COVERING, data, network, oracle, problem


@each(case=COVERING, batch_size=[None, 3])
def test_against_the_dense_hessian(case: tuple[str, str, str], batch_size: int | None) -> None:
    H = HessianOperator(problem(*case, batch_size=batch_size))
    truth = oracle(*case).hessian
    torch.testing.assert_close(H.matmat(torch.eye(len(truth))), truth, rtol=0, atol=1e-12 * float(truth.norm()))


@each(case=COVERING[::2])
def test_symmetric_without_looking(case: tuple[str, str, str]) -> None:
    H = HessianOperator(problem(*case, batch_size=2))
    U, V = torch.randn(2, H.shape[0], 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(U.T @ H.matmat(V), (V.T @ H.matmat(U)).T, rtol=1e-11, atol=1e-12)


@each(batch_size=[None, 2])
def test_what_is_linear_in_the_parameters_does_not_bend(batch_size: int | None) -> None:
    linear = Loss("linear", lambda f, y: (f * y).sum(), lambda y: y)
    model = torch.nn.Linear(6, 3).double()
    H = HessianOperator(Problem(model, data("mse"), linear, batch_size=batch_size))
    assert torch.equal(H.matmat(torch.eye(21)), torch.zeros(21, 21, dtype=torch.float64))


def test_a_parameter_without_part_has_no_curvature() -> None:
    H = HessianOperator(problem("partly")).matmat(torch.eye(72))
    assert not H[:3].any()
    assert not H[:, :3].any()
    assert H[3:].any()


@each(memory=[1, 60_000], batch_size=[None, 1, 3])
def test_memory_and_batches_change_the_cost_only(memory: int, batch_size: int | None) -> None:
    plain, chunked = problem("conv"), problem("conv", memory=memory, batch_size=batch_size)
    assert chunked.columns < plain.columns or chunked.batch_size < plain.batch_size
    V = torch.eye(36)[:, ::2]
    torch.testing.assert_close(
        HessianOperator(chunked).matmat(V), HessianOperator(plain).matmat(V), rtol=0, atol=1e-12 * 6
    )


def test_sum_is_num_data_times_mean() -> None:
    V = torch.ones(74, 1)
    mean, total = (HessianOperator(problem("tanh", "cross_entropy", r)).matmat(V) for r in ("mean", "sum"))
    torch.testing.assert_close(total, 7 * mean, rtol=1e-12, atol=1e-12)


def test_single_precision_sums_batches_in_double() -> None:
    """37 batches of one sample: the error stays that of one batch."""
    model, xy = network("tanh"), data("mse", num_data=37)
    truth = HessianOperator(Problem(model, xy, "mse")).matmat(torch.eye(74))
    single = HessianOperator(Problem(model, xy, "mse", dtype=torch.float32, batch_size=1)).matmat(torch.eye(74))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), truth, rtol=0, atol=3e-7 * float(truth.norm()))


@each(batch_size=[None, 2])
def test_an_overflow_is_said(batch_size: int | None) -> None:
    H = HessianOperator(problem("relu", dtype=torch.float32, batch_size=batch_size))
    message = "a product in torch.float32 is not finite; try --dtype float64, or look at the weights"
    with pytest.raises(FloatingPointError, match=f"^{message}$"):
        H.matmat(torch.full((74, 1), 3e38))
