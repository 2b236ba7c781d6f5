"""Gram-Schmidt applied twice is orthogonal to working precision, even where almost nothing is left."""

import pytest
import torch

from scalecurv.linalg.inner import project_out
from tests.matrices import orthogonal


def test_what_is_left_and_what_was_taken_make_the_whole() -> None:
    Q = orthogonal(50, 0)[:, :20]
    V = orthogonal(50, 1)[:, :7] * 3
    rest, coefficients = project_out(V, Q)
    torch.testing.assert_close(Q @ coefficients + rest, V, rtol=0, atol=1e-12)
    torch.testing.assert_close(coefficients, Q.T @ V, rtol=0, atol=1e-12)
    assert (Q.T @ rest).abs().max() < 1e-12


@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_a_small_remainder_is_orthogonal_relative_to_its_own_size(dtype: torch.dtype, size: float) -> None:
    whole = orthogonal(60, 2)
    Q = whole[:, :30].to(dtype)
    V = (whole[:, :30] @ orthogonal(30, 3)[:, :4] + size * whole[:, 30:34]).to(dtype)  # nearly inside the range of Q
    rest, coefficients = project_out(V, Q)
    cosines = (Q.double().T @ rest.double()) / rest.double().norm(dim=0)
    assert cosines.abs().max() < 100 * torch.finfo(dtype).eps
    assert coefficients.dtype == torch.float64


def test_nothing_to_project_out() -> None:
    V = orthogonal(5, 0)
    rest, coefficients = project_out(V, V[:, :0])
    assert torch.equal(rest, V)
    assert coefficients.shape == (0, 5)
