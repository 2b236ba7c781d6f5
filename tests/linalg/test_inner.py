"""Inner products are summed in float64, in slices that change nothing."""

import pytest
import torch

from scalecurv.linalg import inner


def test_single_precision_vectors_are_summed_in_double() -> None:
    U = torch.tensor([[2.0**13 + 1, 1.0], [1.0, 0.0]], dtype=torch.float32)
    exact = (2**13 + 1) ** 2 + 1  # needs 27 bits, float32 has 24
    assert inner.dots(U, U).tolist() == [exact, 1.0]
    assert inner.gram(U, U).tolist() == [[exact, 2**13 + 1], [2**13 + 1, 1.0]]
    assert inner.norms(U)[0] == exact**0.5


@pytest.mark.parametrize("rows", [1, 4, 10, 11])
def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    rng = torch.Generator().manual_seed(0)
    U = torch.randint(-9, 9, (10, 3), generator=rng).double()  # whole numbers: any order of adding is exact
    V = torch.randint(-9, 9, (10, 2), generator=rng).double()
    monkeypatch.setattr(inner, "ROWS", rows)
    assert torch.equal(inner.gram(U, V), U.T @ V)
    assert torch.equal(inner.dots(U[:, :2], V), (U[:, :2] * V).sum(0))
