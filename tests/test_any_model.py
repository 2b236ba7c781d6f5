"""A CNN and a transformer, trained, analysed by the command and read back: every number against dense matrices."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from scalecurv.linalg.probes import probes
from scalecurv.measures.rank.rank import ACCOUNT
from scalecurv.measures.spectrum import STREAM
from scalecurv.problem.problem import Problem
from scalecurv.quantities import CHAIN
from scalecurv.results.query import Store, open_store
from tests.any_model import COUNTS, MEASURES, compared, dense_values, point
from tests.commands import ROOT, analyze
from tests.dense import Dense, dense_at
from tests.jobs.test_train import train

pytestmark = pytest.mark.xdist_group("any model")  # what is set up is for all of them
STEP = 60
COARSE = ("--dtype", "float64", "--rtol", 0.1, "--max-matvecs", 400)
EXACT = ("loss", "grad_norm", "beta", "ghg", "gh2g", "rank")
BRACKETS = ["curvature_lower", "curvature_upper"]


@dataclass(frozen=True)
class Analysed:
    """A store of one checkpoint with every measure in it, and the truth."""

    store: Store
    problem: Problem
    truth: Dense

    def array(self, measure: str, name: str) -> np.ndarray:
        found = self.store.sql(f"select values from arrays where measure = '{measure}' and name = '{name}'")
        (values,) = found["values"]
        return np.asarray(values)


@pytest.fixture(scope="module", params=["cnn", "transformer"])
def analysed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    folder = tmp_path_factory.mktemp(request.param)
    run, store = folder / "run", folder / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "jobs")
        train(run, "--model", request.param, "--steps", str(STEP), "--analysis-samples", "16")
        words = ("--model", f"models:{request.param}", "--measure", MEASURES, "--singular-values", *COARSE)
        said = analyze(run / f"step_{STEP}.pt", store, *words)
        assert said.exit_code == 0, said.output
        problem = point(run, request.param, STEP)
        return Analysed(open_store(store), problem, dense_at(problem))


def test_every_quantity_of_any_model_is_the_dense_value(analysed: Analysed) -> None:
    """Read back in SQL: what is proven holds the truth, what is sampled at 95 % within twice its interval."""
    values = dense_values(analysed.truth)
    rows = analysed.store.sql("select * from estimates")
    table = compared(rows, values).set_index("quantity")
    assert set(table.index) == set(values)
    assert not table.index[table["wrong"]].tolist()
    exact = table[(table["status"] == "exact") | table["upper"].eq(table["lower"])].drop(index=BRACKETS)
    assert set(exact.index) >= {*EXACT, *COUNTS}
    np.testing.assert_allclose(exact["value"], exact["dense"], rtol=1e-9)
    wide = analysed.store.sql(f"select {', '.join(values)} from results").iloc[0]
    assert wide.astype(float).to_dict() == table["value"].to_dict()


def test_mean_and_ricci_curvature_and_effective_rank_rest_on_one_trace(analysed: Analysed) -> None:
    """Each is linear in the sampled T, the rest of it exact: any of them gives the others."""
    g, H, found = analysed.truth.gradient, analysed.truth.hessian, analysed.store.results().iloc[0]
    square = float(g @ g)
    beta, along, length = 1 / (1 + square), float(g @ H @ g), float((H @ g) @ (H @ g))
    trace = found["mean_curvature"] / beta**0.5 + beta * along
    assert found["ricci_gradient"] == pytest.approx(beta**2 * (trace * along - length) / square, rel=1e-9)
    assert found["effective_rank"] == pytest.approx(trace / float(torch.linalg.eigvalsh(H)[-1]), rel=1e-3)


def test_what_needs_an_mlp_is_said_not_to_apply(analysed: Analysed) -> None:
    found = analysed.store.sql("select quantity, method, status from estimates where component = ''")
    others = found[~found["quantity"].isin([*dense_values(analysed.truth), "noise_floor"])]
    assert set(others["status"]) == {"not_applicable"}
    assert set(others["quantity"]) == {
        "kinks",
        "rank_generic",
        "rank_ceiling",
        "kink_margin",
        "euler_bound",
        *CHAIN,
        *ACCOUNT,
    }


def test_layers_are_the_blocks_of_the_dense_hessian(analysed: Analysed) -> None:
    """Each within 5 of its own standard errors, or exact; their traces are that of the whole, to rounding."""
    H, slices = analysed.truth.hessian, analysed.problem.space.layers
    blocks = {name: (float(H[part, part].trace()), float((H[part] ** 2).sum())) for name, part in slices.items()}
    for i, quantity in enumerate(("trace", "trace_h2")):
        rows = analysed.store.sql(f"select * from estimates where quantity = '{quantity}'").set_index("component")
        layers, tensors = rows.loc[list(blocks)], rows.drop(index=["", *blocks])
        assert set(tensors.index) <= set(analysed.problem.space.slices) if quantity == "trace" else tensors.empty
        for name, row in layers.iterrows():
            off = 5 * row["stderr"] if row["stderr"] > 0 else 1e-9 * abs(row["value"])
            assert abs(row["value"] - blocks[name][i]) <= off, (quantity, name)
        for name, row in tensors.iterrows():
            part = analysed.problem.space.slices[name]
            assert row["value"] == pytest.approx(float(H[part, part].trace()), rel=1e-9), name
        if quantity == "trace":
            assert layers["value"].sum() == pytest.approx(rows["value"][""], rel=1e-12)


def test_spectra_are_those_of_the_dense_matrices(analysed: Analysed) -> None:
    """Gauss rules have the moments of their starts, singular values are all there, Ritz values are eigenvalues."""
    H, J = analysed.truth.hessian, analysed.truth.jacobian
    nodes, weights, starts = (analysed.array("spectrum", f"ritz_{name}") for name in ("nodes", "weights", "starts"))
    for i in range(4):
        v = probes(len(H), 0, STREAM, [i], "gaussian", torch.float64)[:, 0]
        v, of_start = v / v.norm(), starts == i
        for power, moment in enumerate((v @ v, v @ H @ v, H @ v @ (H @ v), H @ v @ (H @ (H @ v)))):
            assert (4 * weights[of_start] * nodes[of_start] ** power).sum() == pytest.approx(float(moment), rel=1e-9)
    sigma = torch.linalg.svdvals(J).numpy()
    found = analysed.array("rank", "singular_values")
    np.testing.assert_allclose(found, sigma[: len(found)], rtol=0, atol=1e-10 * sigma[0])
    eigenvalues = torch.linalg.eigvalsh(H).numpy()
    for value, residual in zip(
        *(analysed.array("extremes", f"ritz_{n}") for n in ("values", "residuals")), strict=True
    ):
        assert np.abs(eigenvalues - value).min() <= residual + 1e-12
