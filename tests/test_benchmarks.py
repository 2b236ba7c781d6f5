"""The benchmarks' own parts: an oracle's stop, the choice of the best peer, tables on pages, four peers' products."""

import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import scalecurv as sc
from benchmarks.comparison import lines_of, losses_of, picture_of, ratios_of, summary_of
from benchmarks.peers import HalfSquares, Loss, fewest, peers
from benchmarks.stops import Slope, Stop, running_curvatures, settled, stop_of_curvature, stop_of_grid, stop_of_mean
from benchmarks.tables import PAGES, filled

ROOT = Path(__file__).parents[1]
COUNTS = np.arange(1, 6)


def test_an_oracle_stops_where_the_error_stays_below_the_target() -> None:
    values = np.array([1.0, 1.5, 1.0, 1.001, 0.999])  # right at once, by chance, and wrong again
    assert settled(values, COUNTS, 1.0, 0.01) == Stop(3.0, 0.0)
    assert settled(values[:2], COUNTS, 1.0, 0.01) is None
    assert settled(-values, COUNTS, -1.0, 0.01) == Stop(3.0, 0.0)


def test_what_did_not_settle_is_extrapolated_to_a_root_mean_square_error_of_the_target() -> None:
    rng = np.random.default_rng(0)
    stop = stop_of_mean(2.0 + rng.standard_normal(50), 2.0, 1e-3)
    assert stop.extrapolated
    means = 2.0 + rng.standard_normal(200) / np.sqrt(stop.products)  # of as many samples as it says
    assert np.sqrt(np.mean((means / 2.0 - 1) ** 2)) == pytest.approx(1e-3, rel=0.3)
    by_grid = stop_of_grid(np.array([1.4, 1.2]), np.array([10, 20]), 1.0, 0.01)
    assert (by_grid.products, by_grid.extrapolated) == (pytest.approx(400.0), True)  # error ~ 1 / n


def test_curvature_by_samples_is_unbiased_and_exact_where_the_samples_are() -> None:
    slope = Slope(beta=0.5, ghg=2.0, ghhg=3.0)
    T, F = 4.0, 10.0
    K = 0.5 * (T**2 - F) + 2 * 0.25 * (3.0 - T * 2.0)
    exact = running_curvatures(np.full(4, T), np.full(4, F), slope)
    assert exact == pytest.approx(np.full(3, K))
    rng = np.random.default_rng(0)
    draws = [running_curvatures(T + rng.standard_normal(2), np.full(2, F), slope)[-1] for _ in range(4000)]
    assert np.mean(draws) == pytest.approx(K, abs=4 * np.std(draws) / 4000**0.5)
    x = T + rng.standard_normal(100)
    stop = stop_of_curvature(x, np.full(100, F), slope, K, 1e-4)
    first_order = (2 * 0.5 * x.mean() - 2 * 0.25 * 2.0) * x.std(ddof=1)
    assert stop == Stop(pytest.approx((first_order / (1e-4 * K)) ** 2), 1e-4, extrapolated=True)


def test_the_fewest_steps_are_found() -> None:
    for least in (1, 2, 7, 64):
        assert fewest(lambda n, least=least: 1 - (n < least), 1.0, 1e-3) == least
    assert fewest(lambda n: 0.0, 1.0, 1e-3) is None


def rows(library: str, method: str, costs: list[float], **more: object) -> list[dict[str, object]]:
    line = {"net": "64-8-10", "loss": "cross_entropy", "when": "init", "quantity": "K", "error": 0.01, **more}
    cost = [{"products": c / 2, "gradients": c, "extrapolated": "~" in method} for c in costs]
    return [{**line, "library": library, "method": method, **one} for one in cost]


def table() -> pd.DataFrame:
    found = rows("scalecurv", "exact", [9.0, 10.0, 30.0]) + rows("A", "slow", [900.0] * 3)
    found += rows("A", "quick ~", [600.0] * 3) + rows("B", "never", [np.nan, 1.0, 1.0])
    ends = {"quantity": "lambda_max"}
    found += rows("scalecurv", "certified", [20.0] * 3, **ends) + rows("A", "power", [10.0] * 3, **ends)
    trained = [{**row, "when": "trained"} for row in found]
    return summary_of(pd.DataFrame([*found, *trained]))


def test_the_best_method_of_each_library_and_the_best_peer_of_each_line(tmp_path: Path) -> None:
    summary = table()
    K = summary[(summary["quantity"] == "K") & (summary["when"] == "init")].set_index("library")
    assert list(K.loc["scalecurv", ["gradients", "least", "most"]]) == [10.0, 9.0, 30.0]
    assert (K.loc["A", "method"], K.loc["A", "extrapolated"]) == ("quick ~", True)
    assert np.isnan(K.loc["B", "gradients"])  # one seed never met the target
    ratios = ratios_of(summary)
    assert list(ratios["seconds, peer / ours"]) == [60.0, 0.5] * 2
    assert list(losses_of(ratios)["quantity"]) == ["lambda_max"] * 2
    assert "trained 60 to 60 (goal: 100)" in "\n".join(lines_of(summary, 600, 3))
    picture_of(summary, tmp_path / "costs.png")
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")


def test_pages_show_the_files_of_results(tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("a 1\nb 2\n\nmore\n")
    page = "x\n<!-- table: here -->\nold\n<!-- end -->\ny\n<!-- table: gone -->\n<!-- end -->\n"
    found = filled(page, tmp_path)
    assert found.split("```") == [found.split("```")[0], "text\na 1\nb 2\n", found.split("```")[2]]
    assert "Not run yet: `make bench`." in found
    assert filled(found, tmp_path) == found
    for path in PAGES:
        assert filled(path.read_text()) == path.read_text(), f"run python -m benchmarks.tables: {path} is out of date"


def test_every_benchmark_is_on_its_page_and_the_peers_are_pinned_once() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert {name for name in scripts - {"tables"} if f"| `{name}.py` |" not in page} == set()
    for name in ("hvp", "time_to_accuracy", "warm_start", "report", "beyond_mlps", "population", "tables"):
        assert f"-m benchmarks.{name}\n" in makefile
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras["bench"]) <= set((ROOT / "peers.txt").read_text().splitlines())


@pytest.mark.parametrize("name", ["cross_entropy", "mse"])
def test_four_peers_multiply_by_the_same_hessian(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    x, y = torch.randn(20, 5), torch.arange(20) % 3
    targets = y if name == "cross_entropy" else nn.functional.one_hot(y, 3).float()
    loss = Loss(model, x, targets, nn.CrossEntropyLoss() if name == "cross_entropy" else HalfSquares())
    H = sc.hessian(sc.Problem(model, (x, targets), name)).to_dense()
    values, V = torch.linalg.eigvalsh(H), torch.randn(len(H), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peers
        for peer in peers(loss):
            torch.testing.assert_close(peer.block(V), H @ V, rtol=1e-4, atol=1e-5)
            for trace in peer.traces.values():
                assert trace(48, 0) == pytest.approx(float(torch.trace(H)), rel=0.2)
            steps = peer.largest(float(values[-1]), 1e-3, 0)
            assert steps is None or 1 <= steps <= 256
