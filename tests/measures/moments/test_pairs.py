"""|G|^2 from weighted pairs of samples and |H|^2 - |G|^2 from common probes: unbiased, and exact without chance."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments import pairs
from scalecurv.measures.moments.draws import Weights, weights_of
from scalecurv.measures.moments.pairs import PairSums, difference_parts, looks_upto, pair_parts
from scalecurv.operators.sample_gradients import layer_names
from scalecurv.problem.problem import Problem
from scalecurv.statistics.pairs import pair_part
from tests.calibration import bias
from tests.nearly_fitted import nearly_fitted
from tests.networks import data, network, oracle, problem

SEEDS = 80
DECAY = 0.3


CASES = [("relu", "cross_entropy", "sum"), ("conv", "mse", "mean")]


def with_decay(name: str, loss: str, reduction: str) -> tuple[Problem, torch.Tensor, torch.Tensor, list[slice]]:
    """Return a problem, its H and G with weight decay, and the rows of the whole model and of each layer."""
    point, dense = problem(name, loss, reduction, weight_decay=DECAY), oracle(name, loss, reduction)
    unit = DECAY * torch.eye(point.num_params, dtype=torch.float64)
    rows = [slice(None), *(point.space.layers[layer] for layer in layer_names(point))]
    return point, dense.hessian + unit, dense.gauss_newton + unit, rows


@pytest.mark.parametrize("case", CASES)
def test_the_square_of_g_is_unbiased_for_the_whole_and_by_layer(case: tuple[str, str, str]) -> None:
    point, _, G, rows = with_decay(*case)
    found = []
    for seed in range(SEEDS):
        evaluation = Evaluation(point, seed)
        weights = weights_of(evaluation)
        sums = PairSums(evaluation, weights, [32])
        found.append([part.value for part in pair_parts(evaluation, sums, weights, 32)])
    for i, row in enumerate(rows):
        assert abs(bias(np.array(found)[:, i], float((G[row] ** 2).sum()))) < 4, i


@pytest.mark.parametrize("case", CASES)
def test_common_probes_take_the_difference_of_both_squares(case: tuple[str, str, str]) -> None:
    point, H, G, rows = with_decay(*case)
    Z = probes(point.num_params, 2, pairs.STREAM, range(8))
    for part, row in zip(difference_parts(Evaluation(point, 2), 8), rows, strict=True):
        wanted = (((H @ Z)[row] ** 2).sum(0) - ((G @ Z)[row] ** 2).sum(0)).numpy()
        assert part.value == pytest.approx(wanted.mean())
        assert part.stderr == pytest.approx(wanted.std(ddof=1) / 8**0.5)


def sample_matrices(point: Problem) -> torch.Tensor:
    """Return G_i of each sample, (N, P, P), written out."""
    G = []
    for i in range(point.num_data):
        alone = Evaluation(point.of_some(torch.tensor([i])))
        G.append(alone.gauss_newton.to_dense() * point.scale)
    return torch.stack(G)


@pytest.mark.parametrize("name", ["relu", "tanh", "conv"])
def test_weights_are_the_exact_traces_and_all_columns_leave_nothing_to_chance(name: str) -> None:
    evaluation = Evaluation(problem(name, "cross_entropy"), 5)
    G, weights = sample_matrices(evaluation.problem), weights_of(evaluation)
    np.testing.assert_allclose(weights.traces, G.diagonal(dim1=1, dim2=2).sum(1).numpy(), rtol=1e-10)
    numbers, _ = weights.draws(5, range(16), 3)
    p = torch.from_numpy(weights.probabilities[numbers])
    kernel = torch.einsum("apq,bpq->ab", G[numbers], G[numbers]) / (p[:, None] * p)
    kernel.fill_diagonal_(0)
    others, _ = PairSums(evaluation, weights, [16], every=True).upto(16)
    np.testing.assert_allclose(others[0], kernel.sum(1).numpy(), rtol=1e-9)
    assert float(kernel.max()) <= weights.bound * (1 + 1e-9)


def test_a_sample_drawn_twice_is_a_pair_with_signs_of_its_own() -> None:
    """One sample alone: all pairs are of it. With the same signs twice |u|^4 would be taken, which is too large."""
    x, y = data("cross_entropy", num_data=1)
    point = Problem(network("relu"), (x, y), "cross_entropy")
    F = float((Evaluation(point).gauss_newton.to_dense() ** 2).sum())
    found, wrong = [], []
    for seed in range(SEEDS):
        evaluation = Evaluation(point, seed)
        others, squares = PairSums(evaluation, weights_of(evaluation), [32]).upto(32)
        found.append(pair_part(others[0] / 31).value)
        wrong.append((squares[0] ** 2).mean())
    assert abs(bias(np.array(found), F)) < 4
    assert bias(np.array(wrong), F) > 10


def test_a_look_has_the_same_bits_after_longer_ones_and_without_kept_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("relu", "conv"):
        evaluation = Evaluation(nearly_fitted(name), 1)
        weights, ends = weights_of(evaluation), looks_upto(400)
        assert ends == [32, 64, 128, 256, 400]
        alone, longer = (PairSums(evaluation, weights, ends) for _ in range(2))
        longer.upto(400)
        first = alone.upto(64)
        assert all(np.array_equal(a, b) for a, b in zip(first, longer.upto(64), strict=True))
        monkeypatch.setattr(pairs, "KEPT", 1 << 60)
        again = PairSums(evaluation, weights, ends)
        assert all(np.array_equal(a, b) for a, b in zip(again.upto(400), longer.upto(400), strict=True))
        monkeypatch.undo()


def test_draws_are_the_first_of_longer_ones_and_follow_their_probabilities() -> None:
    weights = Weights(np.array([0.0, 1.0, 3.0]))
    numbers, signs = weights.draws(0, range(4000), 2)
    assert np.array_equal(weights.draws(0, range(7), 2)[0], numbers[:7])
    share = np.bincount(numbers, minlength=3) / 4000
    np.testing.assert_allclose(share, [0.05 / 3, 0.2375 + 0.05 / 3, 0.7125 + 0.05 / 3], atol=0.03)
    assert abs(signs.mean()) < 0.05
    np.testing.assert_allclose(Weights(np.zeros(4)).probabilities, 0.25)


def test_probed_shares_are_no_weights() -> None:
    """T_i from one random output vector, where exact ones are wanted: the spread is larger and the interval is not."""
    rng = np.random.default_rng(0)
    D, N, n, runs = 2, 200, 40, 300
    u = rng.normal(size=(N, 1, 6)) * np.array([1.0, -1.0])[:, None]  # F_i'J_i of a sample between two classes
    u += 0.02 * rng.normal(size=u.shape)
    grams = np.einsum("idp,jep->idje", u, u)
    F = float((grams**2).sum())
    exact = np.einsum("idid->i", grams)
    held = dict.fromkeys(("exact", "probed"), 0)
    for _ in range(runs):
        signs = rng.choice([-1.0, 1.0], size=(N, D))
        probed = np.einsum("id,idp->ip", signs, u)
        for name, T in (("exact", exact), ("probed", (probed**2).sum(1))):
            p = 0.95 * T / T.sum() + 0.05 / N
            drawn, s = rng.choice(N, n, p=p), rng.choice([-1.0, 1.0], size=(n, D))
            rows = np.einsum("ad,adp->ap", s, u[drawn]) / np.sqrt(p[drawn])[:, None]
            kernel = (rows @ rows.T) ** 2
            part = pair_part((kernel.sum(1) - np.diag(kernel)) / (n - 1))
            held[name] += abs(part.value - F) <= 2.02 * part.stderr
    assert held["exact"] > 0.88 * runs
    assert held["probed"] < 0.82 * runs
