"""The bracket of K from T and the Ritz space alone: over many spectra and starts it never leaves K out."""

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.geometry.bounds import affine_bracket, deflated_square, psd_bracket
from scalecurv.measures import Curvature
from scalecurv.measures.curvature.deflated_bracket import deflated_bracket
from scalecurv.measures.curvature.scalar import scalar_curvature
from scalecurv.measures.curvature.semidefinite import nearly_semidefinite
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.problem.problem import Problem
from tests.dense import dense_at
from tests.digits import digits
from tests.networks import fitted

SPECTRA = (
    lambda n, rng: rng.random(n),
    lambda n, rng: 1 / np.arange(1.0, n + 1) ** rng.uniform(0.3, 3),
    lambda n, rng: np.r_[np.full(3, 10.0), np.zeros(n - 3)],
    lambda n, rng: np.ones(n),
    lambda n, rng: 10.0 ** rng.uniform(-8, 3, n),
)


def test_the_bounds_hold_tr_a2_for_random_spectra_and_subspaces() -> None:
    rng, shortest = np.random.default_rng(0), np.inf
    for i in range(600):
        n = int(rng.integers(2, 30))
        A = (t := SPECTRA[i % len(SPECTRA)](max(n, 4), rng)) * (
            V := np.linalg.qr(rng.standard_normal((len(t),) * 2))[0]
        )
        A = A @ V.T
        Q = np.linalg.qr(rng.standard_normal((len(t), int(rng.integers(1, len(t)) + i % 2))))[0][:, : len(t)]
        if i % 3 == 0:  # along eigenvectors, as the space of a long run is
            Q = V[:, : Q.shape[1]]
        small, image = Q.T @ A @ Q, A @ Q
        known = 2 * (image**2).sum() - (small**2).sum()
        off = rng.random(2) * (i % 4 == 0)
        trace = (t.sum() - off[0], t.sum() + off[1])
        low, high = deflated_square(trace, np.trace(small), known, len(t) - Q.shape[1], t.max() + off[0])
        F = (t**2).sum()
        assert low <= F * (1 + 1e-12)
        assert high * (1 + 1e-12) >= F
        shortest = min(shortest, (high - low) / F)
    assert shortest < 1e-3


def test_a_bracket_of_k_is_its_range_over_t_and_f() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        T, F = np.sort(rng.uniform(-3, 3, 2)), np.sort(rng.uniform(0, 9, 2))
        beta, ghg, gh2g = rng.random(), rng.uniform(-4, 4), rng.uniform(0, 5)
        grid, squares = np.linspace(*T, 2001), F[:, None]
        K = beta * (grid**2 - squares) + 2 * beta**2 * (gh2g - grid * ghg)
        assert affine_bracket(tuple(T), tuple(F), beta, ghg, gh2g) == pytest.approx((K.min(), K.max()), abs=1e-5)


def affine(seed: int, decay: float) -> Problem:
    """One affine layer 30-2, whose Hessian is that of its inputs: positive semidefinite at any slope."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 30)) / np.arange(1.0, 31) ** decay
    layer = nn.Linear(30, 2).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(rng.standard_normal(p.shape) * rng.choice([0.01, 0.3])))
    return Problem(nn.Sequential(layer), (torch.from_numpy(x), torch.from_numpy(rng.standard_normal((60, 2)))), "mse")


def test_k_is_inside_after_any_number_of_steps() -> None:
    """Where T is exact and the run short, single precision included; the bracket of the ends is wider by far."""
    ratios = []
    for seed in range(24):
        point = affine(seed, decay=(0.0, 0.5, 1.0, 2.0)[seed % 4])
        K = dense_at(point).curvature
        for dtype in (torch.float64, torch.float32):
            evaluation = Evaluation(point.astype(dtype), seed)
            near = nearly_semidefinite(evaluation)
            assert near is not None
            for budget in (24, 40, 80):
                strategy = Curvature(1e-9, budget, route="sampled").strategy
                krylov, T = krylov_run(evaluation, strategy), scalar_curvature(evaluation, strategy).trace
                low, high = deflated_bracket(evaluation, T, krylov, near)
                assert low <= K <= high
                wide = psd_bracket((T.value,) * 2, (krylov.ends.largest.upper,) * 2, dense_at(point).beta)
                ratios.append((high - low) / (wide[1] - wide[0]))
    assert np.median(ratios) < 0.3


def test_an_almost_exact_fit_counts_its_residual_part() -> None:
    for off in (0.0, 1e-12, 1e-8, 9e-7):
        point = fitted()
        point = Problem(point.model, (point.x, point.y + off), "mse")
        K = dense_at(point).curvature
        for seed in range(10):
            found = Curvature(1e-3, 24, route="sampled").compute(Evaluation(point, seed)).estimates
            assert found["curvature_lower"].value <= K <= found["curvature_upper"].value


def test_digits_at_a_fit() -> None:
    """Within a tenth of K without a probe of tr H^2, after at most 30 products."""
    x, _ = (torch.from_numpy(array) for array in digits(80))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 4)).double()
    with torch.no_grad():
        point = Problem(model, (x, model(x)), "mse")
    K, widths = dense_at(point).curvature, []
    for seed in range(5):
        evaluation = Evaluation(point, seed)
        found = Curvature(0.05, 60, route="exact").compute(evaluation).estimates
        low, high = found["curvature_lower"].value, found["curvature_upper"].value
        assert low <= K <= high
        assert found["curvature_upper"].method == "positive semidefinite: T, lambda_max and the Ritz space"
        widths.append((high - low) / K)
        assert krylov_run(evaluation, Curvature(0.05, 60, route="exact").strategy).space.num_matvecs <= 30
    assert max(widths) < 0.1, widths
