"""The benchmarks beyond perceptrons and beyond N, on networks so small that each takes a second."""

import json
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import torch

from benchmarks import beyond_mlps, calibrate_nets, population
from benchmarks.architectures import NETS, Trained, cnn, images, train
from benchmarks.beyond_mlps import NUM_DATA, problem_of, shown, tables, text_of, truth_of, verdict
from benchmarks.calibrate import line
from benchmarks.population import ROWS, held, lines_of, synthetic
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at


def small() -> Trained:
    x, y = images(20)
    torch.manual_seed(0)
    model = cnn(1)
    train(model, x, y, 3)
    return Trained("CNN", "trained", model, x, y)


def test_the_four_networks_take_digits_and_are_left_in_eval_mode() -> None:
    x, y = images(7)
    assert (float(x.mean().abs()) < 1e-6, x.shape) == (True, (7, 1, 8, 8))
    for make in NETS.values():
        model = make()
        train(model, x, y, 1)
        assert model(x).shape == (7, 10)
        assert not any(module.training for module in model.modules())
        assert sum(p.numel() for p in model.parameters()) < 2000  # a dense Hessian in seconds


def test_the_reference_is_the_dense_one() -> None:
    problem = problem_of(small()).astype(torch.float64)
    truth, dense = truth_of(problem), dense_at(problem)
    assert pytest.approx((dense.trace(), dense.curvature), rel=1e-9) == (truth.T, truth.K)


@pytest.mark.filterwarnings("ignore")  # of the peers
def test_both_tables_of_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SEEDS": 1, "PEER_SEEDS": 1, "BUDGET": {"generic": 60, "ours": 60}}.items():
        monkeypatch.setattr(beyond_mlps, name, value)
    traces, curvatures = tables([small()])
    ours = traces[traces["library"] == "scalecurv"]
    assert len(ours) == 1
    assert float(ours["error"].iloc[0]) < 1e-5  # all tensors of a CNN are exact
    assert set(traces["library"]) == {"scalecurv", "PyHessian", "curvlinops", "hessian-eigenthings", "skerch"}
    assert traces["method"].str.contains("xtrace").sum() == 2
    assert list(curvatures["held"]) == ["1/1"]
    text = text_of(traces, curvatures, NUM_DATA)
    assert "\n\n" not in text.strip()  # a page shows a table up to its first empty line
    assert "goal 10x" in verdict(curvatures)


def test_extrapolated_numbers_are_marked() -> None:
    assert [shown(12.0, False), shown(1234.4, True), shown(2e6, True)] == ["12", "~1234", "~2e+06"]


def test_synthetic_images_begin_alike_for_every_n_and_can_be_learned() -> None:
    x, y = synthetic(300)
    more, classes = synthetic(population.CHUNK + 5)
    assert torch.equal(x, more[:300])
    assert torch.equal(y, classes[:300])
    assert sorted(y.unique().tolist()) == list(range(10))
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    assert float(means.std(0).mean()) > 0.2  # classes differ


def found(value: float, half: float) -> dict[str, object]:
    estimate = Estimate(value, half / 2, value - half, value + half, 0.95, 9, 40, "pairs", Status.CONVERGED)
    return population.facts_of(estimate) | {"seconds": 2.0}


def test_a_row_becomes_one_line_for_each_tolerance() -> None:
    result = {"P": 10, "gradient": 0.5, "truth": 2.0, "found": {"0.05": [found(2.1, 0.2), found(1.0, 0.1)]}}
    (row,) = lines_of("digits-mlp", json.loads(json.dumps(result)))
    assert [row[name] for name in ("to", "gradients", "products", "held")] == ["5%", "4", "40", "1/2"]
    assert held([found(1.0, 0.1), found(1.15, 0.1), found(9.0, 0.1)], None) == "1/3 pairs"
    results = {"digits-mlp": result | {"threads": 2}, "mlp-6000": None}
    text = population.text_of(results, {"digits-mlp": 9.0, "mlp-6000": 20.0})  # type: ignore[arg-type]
    assert text.endswith("mlp-6000: not within 20 s\n")


def test_the_rows_fit_into_nine_minutes() -> None:
    assert sum(row.limit for row in ROWS.values() if not row.full) <= 540


def test_a_row_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "STEPS", 5)
    for net, data in (("mlp", "synthetic"), ("cnn", "synthetic")):
        row = population.Row(net, 50, data)
        result = population.one_row(row, 1)
        assert len(result["found"]["0.05"]) == 1
        assert result["truth"] is None
        assert json.loads(json.dumps(result)) == result


def test_a_cell_of_the_calibration_gives_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate_nets, "CELLS", [("cnn", "cross_entropy", "init")])
    with ThreadPoolExecutor(1) as pool:
        rows = pd.DataFrame(calibrate_nets.network_lines(line, pool, seeds=4, share=2))
    assert {"trace_h2", "scalar_curvature"} <= set(rows["quantity"])
    assert set(rows["cell"]) == {"cnn cross_entropy init"}
    assert rows["held"].between(0, 1).all()
