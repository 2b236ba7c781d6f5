"""Nodes and weights that integrate any function of the Hessian."""

import numpy as np
import pytest

from scalecurv.measures import Spectrum
from scalecurv.measures.evaluation import Evaluation
from tests.calibration import bias
from tests.networks import oracle, problem


def test_many_starts_integrate_like_the_density() -> None:
    """sum_j weights[j] f(nodes[j]) estimates tr f(H) / P, run by run and without bias."""
    num_starts = 100
    arrays = Spectrum(num_starts, 400, route="generic").compute(Evaluation(problem("conv"))).arrays
    eigenvalues = np.linalg.eigvalsh(oracle("conv").hessian.numpy())
    nodes, weights, starts = (arrays[f"ritz_{part}"] for part in ("nodes", "weights", "starts"))
    for f in (lambda t: t, lambda t: t**2, lambda t: t**7):  # 4 nodes are exact to degree 7
        runs = num_starts * np.bincount(starts.astype(int), weights * f(nodes))
        assert abs(bias(runs, np.mean(f(eigenvalues)))) < 4


@pytest.mark.parametrize(("memory", "steps"), [(1, 2), (5 * 36 * 8, 5), (1 << 30, 10)])
def test_the_runs_and_their_lengths(memory: int, steps: int) -> None:
    arrays = Spectrum(3, 40, memory, "generic").compute(Evaluation(problem("conv"))).arrays
    assert arrays["ritz_starts"].tolist() == [0] * steps + [1] * steps + [2] * steps
    assert np.bincount(arrays["ritz_starts"].astype(int), arrays["ritz_weights"]) == pytest.approx(np.full(3, 1 / 3))
    for run in range(3):
        assert bool((np.diff(arrays["ritz_nodes"][arrays["ritz_starts"] == run]) > 0).all())


@pytest.mark.parametrize("route", ["generic", "dense"])
def test_full_length_finds_every_eigenvalue(route: str) -> None:
    found = Spectrum(1, 400, route=route).compute(Evaluation(problem("conv", "cross_entropy"))).arrays["ritz_nodes"]
    truth = np.linalg.eigvalsh(oracle("conv", "cross_entropy").hessian.numpy())
    distinct = truth[np.abs(truth) > 1e-10]
    assert np.abs(distinct[:, None] - found).min(1).max() < 1e-9
