"""Random signs on the outputs: each sample's term of tr H is unbiased, independent and of the variance in theory."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from scalecurv.mlp import trace as output_probes
from scalecurv.mlp.layers import open_batch
from scalecurv.mlp.trace import layer_traces, output_probe_terms
from scalecurv.samples.batch import Batch
from tests.dense import dense
from tests.loops import each
from tests.piecewise import CASES, NUM_DATA, Case, close, data, layer_slices, named, network, opened

PASSES = 400
POINT = Case("two hidden", "cross_entropy", trained=True)
TRAINED = [case for case in CASES if case.trained]


@cache
def drawn(case: Case = POINT) -> np.ndarray:
    """The terms of many passes, shape (passes, N, L)."""
    problem, mlp = opened(case)
    return np.stack([output_probe_terms(problem, mlp, 7, index) for index in range(PASSES)])


def matrices(case: Case) -> Tensor:
    """C_il = (|a|^2 + 1 for a bias) F_i' B_l B_l' F_i with the factor in front of the sum, shape (N, L, D, D)."""
    problem, mlp = opened(case)
    batch = open_batch(problem, mlp, Batch(problem.x, problem.y, 0))
    rows = batch.pulled(problem.loss.factor(batch.outputs, problem.y).transpose(1, 2))
    layers = [r @ r.transpose(1, 2) * batch.squared_inputs(l)[:, None, None] for l, r in enumerate(rows)]
    return problem.scale * torch.stack(layers, dim=1)


def variance(C: Tensor) -> np.ndarray:
    """Var s'Cs = 2 (|C|_F^2 - sum_k C_kk^2) of independent signs."""
    return (2 * ((C**2).sum((-2, -1)) - (torch.diagonal(C, dim1=-2, dim2=-1) ** 2).sum(-1))).numpy()


def all_signs(case: Case, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The terms under each of the 2^D patterns of signs, the same for every sample: shape (2^D, N, L)."""
    problem, mlp = opened(case)
    terms = []
    for pattern in product((-1.0, 1.0), repeat=problem.num_outputs):
        column = torch.tensor(pattern, dtype=torch.float64).repeat(problem.num_data)[:, None]
        monkeypatch.setattr(output_probes, "probes", lambda *given, column=column, **how: column)
        terms.append(output_probe_terms(problem, mlp, 0, 0))
    return np.stack(terms)


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_mean_and_variance_over_all_signs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """No chance left: each sample's mean is its own dense trace, its variance that of the quadratic form."""
    terms, C = all_signs(case, monkeypatch), matrices(case)
    problem, mlp = opened(case)
    model, (x, y) = network(case.shape, case.loss, case.trained), data(case.shape, case.loss)
    for i in range(NUM_DATA):
        H = problem.scale * dense(model, x[i : i + 1], y[i : i + 1], named(case.loss), "sum").hessian
        close(terms[:, i].mean(0), [H[rows, rows].trace() for rows in layer_slices(problem, mlp)])
    size = float(terms.max() ** 2)
    close(terms.var(0), variance(C), size)
    close(terms.sum(2).var(0), variance(C.sum(1)), size)


def test_the_mean_of_many_passes() -> None:
    """Within 4 standard errors for each layer, and for each sample of each layer."""
    problem, mlp = opened(POINT)
    C = matrices(POINT)
    exact = layer_traces(problem, mlp).numpy()
    assert (np.abs(drawn().sum(1).mean(0) - exact) < 4 * np.sqrt(variance(C).sum(0) / PASSES)).all()
    each = torch.diagonal(C, dim1=-2, dim2=-1).sum(-1).numpy()
    assert (np.abs(drawn().mean(0) - each) <= 4 * np.sqrt(variance(C) / PASSES)).all()


def test_the_variance_of_the_sum_is_the_sum_of_the_variances() -> None:
    """Samples have signs of their own: one pattern for all of them would give several times as much."""
    theory = variance(matrices(POINT).sum(1))
    measured = drawn().sum((1, 2)).var(ddof=1)
    tolerance = 4 * (2 / PASSES) ** 0.5
    assert measured == pytest.approx(theory.sum(), rel=tolerance)
    assert np.sqrt(theory).sum() ** 2 > 2 * theory.sum() * (1 + tolerance)


def test_passes_are_independent_and_repeatable() -> None:
    problem, mlp = opened(POINT)
    total = drawn().sum((1, 2))
    assert len(np.unique(total)) > PASSES / 4  # far more patterns than are drawn, of which some give the same
    assert abs(np.corrcoef(total[:-1], total[1:])[0, 1]) < 4 / PASSES**0.5
    assert np.array_equal(output_probe_terms(problem, mlp, 7, 11), drawn()[11])
    other = np.stack([output_probe_terms(problem, mlp, 8, index) for index in range(20)])
    assert (other.sum((1, 2)) != total[:20]).all()


@each(options=[{"batch_size": 3}, {"batch_size": 1}, {"memory": 1}, {"batch_size": 3, "memory": 1}])
def test_neither_mini_batches_nor_memory_matter(options: dict) -> None:
    """A sample keeps its signs, wherever the cut between batches and pieces falls."""
    problem, mlp = opened(POINT, **options)
    terms = output_probe_terms(problem, mlp, 7, 0)
    assert terms.dtype == np.float64
    close(terms, drawn()[0])


def test_single_precision_uses_the_same_signs() -> None:
    problem, mlp = opened(POINT, dtype=torch.float32)
    terms = output_probe_terms(problem, mlp, 7, 0)
    assert terms.dtype == np.float64
    np.testing.assert_allclose(terms, drawn()[0], rtol=1e-5, atol=1e-6 * drawn()[0].max())
