"""A probe depends on (seed, stream, i) alone, and its entries are independent with variance one."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.probes import Kind, probes

KINDS: tuple[Kind, ...] = ("rademacher", "gaussian")


def test_any_subset_in_any_order_gives_the_same_vectors() -> None:
    for kind in KINDS:
        for ids in [[3], [5, 0, 3], [], range(2, 9, 3)]:
            block = probes(37, 4, "s", range(10), kind)
            assert torch.equal(probes(37, 4, "s", ids, kind), block[:, list(ids)])


@pytest.mark.parametrize("kind", KINDS)
def test_dtype_casts_and_does_not_redraw(kind: Kind) -> None:
    double = probes(50, 1, "s", range(4), kind, torch.float64)
    single = probes(50, 1, "s", range(4), kind, torch.float32)
    assert single.dtype == torch.float32
    assert torch.equal(single, double.float())


@pytest.mark.parametrize("kind", KINDS)
def test_the_draws_are_a_promise(kind: Kind) -> None:
    """Stored numbers rest on them: should these change, the version of every measure must rise."""
    first = {
        "rademacher": [1, 1, 1, -1, -1, -1, 1, -1],
        "gaussian": [-0.4486480, 0.8640996, -0.6112839],
    }[kind]
    drawn = probes(len(first), 0, "hutchinson", [0], kind)[:, 0]
    np.testing.assert_allclose(drawn, first, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_other_seed_stream_or_number_is_another_vector(kind: Kind) -> None:
    n = 4000
    Z = torch.cat([probes(n, s, stream, [i], kind) for s in (1, 11) for stream in "ab" for i in (10, 11)], dim=1)
    cosines = Z.T @ Z / n - torch.eye(8)
    off_diagonal = cosines[~torch.eye(8, dtype=torch.bool)]
    assert off_diagonal.abs().max() < 5 / n**0.5


@pytest.mark.parametrize("kind", KINDS)
def test_second_moments_are_the_identity(kind: Kind) -> None:
    n, m = 25, 8000
    Z = probes(n, 7, "moments", range(m), kind)
    covariance = Z @ Z.T / m
    allowed = torch.full((n, n), 5 / m**0.5).fill_diagonal_(5 * (2 / m) ** 0.5)
    assert bool(((covariance - torch.eye(n)).abs() < allowed).all())
    assert Z.mean(1).abs().max() < 5 / m**0.5
    if kind == "rademacher":
        assert set(Z.unique().tolist()) == {-1.0, 1.0}
    else:
        assert float((Z**4).mean()) == pytest.approx(3, abs=5 * (96 / (n * m)) ** 0.5)
