"""H written out: every number of it against plain autograd."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional

import scalecurv as sc
from scalecurv.measures import MEASURES, Curvature, Extremes, GaussNewton, Moments, Principal, Spectrum
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import rounding_in_double
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import data, layer_slices, network, oracle, problem

PLANNED = (Moments, Extremes, Curvature, Principal)


def huber(f: Tensor, y: Tensor) -> Tensor:
    """A loss of the user's own, smooth."""
    return ((1 + (f - functional.one_hot(y, f.shape[1])) ** 2).sqrt() - 1).sum(1)


class Words(nn.Module):
    """An embedding of whole numbers, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(5, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.words(x)).mean(1))


def cases() -> dict[str, tuple[nn.Module, Tensor, str | None]]:
    """Model, inputs, free parameters."""
    x = data("mse")[0]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        words = Words().double()
    tokens = torch.randint(5, (7, 4), generator=torch.Generator().manual_seed(4))
    return {
        "tanh": (network("tanh"), x, None),
        "conv": (network("conv"), x, None),
        "words": (words, tokens, None),
        "block": (network("tanh"), x, r"^2\."),
    }


def truth_of(model: nn.Module, x: Tensor, y: Tensor, loss: str, params: str | None) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian by two backward passes of plain autograd."""
    free = [p for name, p in model.named_parameters() if params is None or re.search(params, name)]
    f = model(x)
    if loss == "mse":
        total = 0.5 * (f - y).pow(2).sum() / len(x)
    else:
        total = functional.cross_entropy(f, y) if loss == "cross_entropy" else huber(f, y).mean()
    g = torch.cat([part.flatten() for part in grad(total, free, create_graph=True)])
    rows = [grad(entry, free, retain_graph=True, materialize_grads=True) for entry in g]
    return g.detach(), torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def holds(found: Estimate, truth: float, size: float, foreign: bool) -> None:
    """Exact; of a loss of one's own, which may saturate for all that is known, inside an interval that says so."""
    assert found.value == pytest.approx(truth, rel=1e-10, abs=1e-12 * size)
    if foreign:
        assert found.lower < found.upper
        assert found.status in (Status.CERTIFIED, Status.BUDGET)
    else:
        assert found.status is Status.EXACT
        assert found.lower == found.value == found.upper


@each(loss=["mse", "cross_entropy", "huber"], name=["tanh", "conv", "words", "block"])
def test_every_number_is_that_of_the_matrix(name: str, loss: str) -> None:
    model, x, params = cases()[name]
    y = data("mse" if loss == "mse" else "cross_entropy")[1]
    at, foreign = Problem(model, (x, y), huber if loss == "huber" else loss, params=params), loss == "huber"
    g, H = truth_of(model, x, y, loss, params)
    P, evaluation = len(g), Evaluation(at)
    found = {name: e for measure in PLANNED for name, e in measure().compute(evaluation).estimates.items()}
    beta = 1 / (1 + float(g @ g))
    S = beta**0.5 * (H - beta * torch.outer(g, g @ H))
    bends = torch.linalg.eigvals(S).real.sort(descending=True).values.tolist()
    values = torch.linalg.eigvalsh(H)
    T, F, K = float(H.trace()), float((H**2).sum()), float(S.trace() ** 2 - (S @ S).trace())
    size, pairs = T * T + F, P * (P - 1)
    u = g / g.norm()
    wanted = {
        "trace": (T, T),
        "trace_h2": (F, F),
        "lambda_max": (values[-1], 1.0),
        "lambda_min": (values[0], 1.0),
        "scalar_curvature": (K, size),
        "t2_minus_f": (T * T - F, size),
        "participation_ratio": (T * T / F, 1.0),
        "effective_rank": (T / values[-1], 1.0),
        "mean_curvature": (S.trace(), abs(T)),
        "principal_max": (bends[0], 1.0),
        "principal_max_2": (bends[1], 1.0),
        "principal_min": (bends[-1], 1.0),
        "principal_min_2": (bends[-2], 1.0),
        "ricci_gradient": (beta**2 * (T * u @ H @ u - (H @ u) @ (H @ u)), size),
        "scalar_curvature_convex": (K, size),
        "sectional_mean": (K / pairs, size / pairs),
        "sectional_max": (max(bends[0] * bends[1], bends[-1] * bends[-2]), 1.0),
        "sectional_min": (bends[0] * bends[-1], 1.0),
    }
    for quantity, (value, scale) in wanted.items():
        derived = quantity in ("participation_ratio", "effective_rank") or quantity.startswith("sectional_m")
        if not (foreign and derived):
            holds(found[quantity], float(value), float(scale), foreign)
    assert all(found[quantity].num_matvecs >= P for quantity in wanted)
    cost = P + rounding_in_double(evaluation).num_matvecs
    assert {found[quantity].num_matvecs for quantity in ("trace", "trace_h2", "lambda_max", "principal_min")} == {cost}
    assert found["scalar_curvature"].num_matvecs == cost + 1
    assert (cost > P) is foreign
    assert found["curvature_lower"].lower <= K <= found["curvature_upper"].upper
    assert evaluation.total_matvecs <= P + 2 + 9 * foreign  # along g and along g/|g|; a foreign loss's J
    ritz = Extremes().compute(evaluation).arrays
    np.testing.assert_allclose(ritz["ritz_values"], values, atol=1e-12)
    np.testing.assert_array_equal(ritz["ritz_residuals"], np.zeros(P))
    rule = Spectrum().compute(evaluation).arrays
    np.testing.assert_allclose(rule["ritz_nodes"], values, atol=1e-12)
    assert rule["ritz_weights"].tolist() == [1 / P] * P


def test_layers_are_their_own_blocks() -> None:
    truth = oracle("tanh", "cross_entropy")
    parts = Moments().compute(Evaluation(problem("tanh", "cross_entropy"))).parts
    for layer, rows in layer_slices("tanh").items():
        holds(parts["trace", layer], truth.trace(rows), 1.0, False)
        holds(parts["trace_h2", layer], truth.trace_h2(rows), 1.0, False)


@each(loss=["mse", "cross_entropy"], name=["tanh", "conv"])
def test_the_gauss_newton_side_is_written_out_too(name: str, loss: str) -> None:
    at, truth = problem(name, loss), oracle(name, loss)
    evaluation = Evaluation(at)
    found, P = GaussNewton().compute(evaluation).estimates, at.num_params
    G, H = truth.gauss_newton, truth.hessian
    holds(found["trace_ggn"], float(G.trace()), 1.0, False)
    holds(found["lambda_max_ggn"], float(torch.linalg.eigvalsh(G)[-1]), 1.0, False)
    holds(found["residual_share"], float((H - G).norm() / H.norm()), 1.0, False)
    assert [found[q].num_matvecs for q in ("trace_ggn", "lambda_max_ggn", "residual_share")] == [P, P, 2 * P]


@pytest.mark.parametrize("name", ["tanh", "relu", "conv"])
def test_no_number_depends_on_what_else_was_asked(name: str) -> None:
    at, together = problem(name, "cross_entropy"), Evaluation(problem(name, "cross_entropy"))
    for measure in reversed(MEASURES.values()):
        alone, beside = measure().compute(Evaluation(at)), measure().compute(together)
        assert repr(alone.by_component) == repr(beside.by_component)
        for array, values in alone.arrays.items():
            np.testing.assert_array_equal(values, beside.arrays[array])


def test_float32_costs_nothing_but_what_the_weights_lost() -> None:
    at = problem("tanh", "cross_entropy", dtype=torch.float32)
    found, truth = Curvature().compute(Evaluation(at)).estimates["scalar_curvature"], dense_at(at)
    holds(found, truth.curvature, truth.trace() ** 2, False)


def test_in_a_notebook() -> None:
    at, truth = problem("tanh"), oracle("tanh")
    holds(sc.trace(at), truth.trace(), 1.0, False)
    holds(sc.scalar_curvature(at), truth.curvature, truth.trace() ** 2, False)
    holds(sc.lambda_max(at), float(torch.linalg.eigvalsh(truth.hessian)[-1]), 1.0, False)
    u = torch.randn(at.num_params, generator=torch.Generator().manual_seed(1))
    assert sc.ricci_curvature(at, u).status is Status.EXACT
