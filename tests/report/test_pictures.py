"""The pictures of a report in a real browser: what they draw and say is what the store holds."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalecurv.report.page import write_report
from scalecurv.results.query import Store
from scalecurv.results.summary import estimate_of
from tests.report.pages import choose, drawn, opened
from tests.report.shown import EVIL, RUNS, STEPS, chain_store, edge_store, long_store

pytestmark = pytest.mark.browser


def lines_of(traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [trace for trace in traces if trace.get("mode") == "lines+markers"]


def test_lines_and_bands_are_the_numbers_of_the_store(browser: Any, report: Path, store: Store) -> None:
    results = store.results()
    with opened(browser, report) as page:
        choose(page, "trajectory-quantity", "trace")
        choose(page, "trajectory-scale", "linear")
        traces = drawn(page, "trajectory-plot")
        for run, line in zip(RUNS, lines_of(traces), strict=True):
            rows = results[(results["run"] == run) & results["trace"].notna()]
            assert line["y"] == rows["trace"].tolist()
            at = traces.index(line)
            assert traces[at - 2]["y"] == rows["trace_lower"].tolist()
            assert traces[at - 1]["y"] == rows["trace_upper"].tolist()
        symbols = lines_of(traces)[0]["marker"]["symbol"]
        assert symbols == ["square-open" if step == 5 else "square" for step in STEPS]
        choose(page, "trajectory-interval", "bars")
        (line, *_) = drawn(page, "trajectory-plot")
        rows = results[(results["run"] == "/runs/lr0.1") & results["trace"].notna()]
        np.testing.assert_allclose(line["error_y"]["array"], rows["trace_upper"] - rows["trace"], rtol=1e-12)
        assert "hollow squares: budget" in page.inner_text("#trajectory-note")


def test_scales_keep_signs_and_show_zero(browser: Any, report: Path, store: Store) -> None:
    with opened(browser, report) as page:
        choose(page, "trajectory-quantity", "scalar_curvature")
        choose(page, "trajectory-scale", "symlog")
        values = store.results().query("run == '/runs/lr0.1' and scalar_curvature.notna()")["scalar_curvature"]
        line = lines_of(drawn(page, "trajectory-plot"))[0]
        assert np.sign(line["y"]).tolist() == np.sign(values).tolist()
        assert np.argsort(line["y"]).tolist() == np.argsort(values.to_numpy()).tolist()
        layout = page.evaluate("document.getElementById('trajectory-plot').layout.yaxis")
        assert dict(zip(layout["ticktext"], layout["tickvals"], strict=True))["0"] == 0
        choose(page, "trajectory-scale", "log")
        assert page.evaluate("document.getElementById('trajectory-plot').layout.yaxis.type") == "log"


def test_pointing_at_a_marker_shows_the_stored_value_and_its_grounds(browser: Any, report: Path, store: Store) -> None:
    rows = store.table("long").query("quantity == 'trace' and component == '' and run == '/runs/lr0.1'")
    row = rows[rows["step"] == STEPS[3]].iloc[0]
    with opened(browser, report) as page:
        choose(page, "trajectory-quantity", "trace")
        page.locator("#trajectory-plot .points path").nth(3).hover(force=True)
        page.wait_for_selector("#trajectory-plot .hovertext")
        text = page.text_content("#trajectory-plot .hoverlayer")
    for words in (
        str(estimate_of(row)),
        repr(float(row["value"])),
        repr(float(row["lower"])),
        repr(float(row["upper"])),
        "budget: hutchinson",
    ):
        assert words in text, words
    assert f"lr0.1, step {STEPS[3]}" in text


def test_runs_are_overlaid_or_in_facets_and_one_can_be_chosen(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        assert {line["yaxis"] for line in lines_of(drawn(page, "trajectory-plot"))} == {"y"}
        choose(page, "trajectory-layout", "facets")
        assert [line["yaxis"] for line in lines_of(drawn(page, "trajectory-plot"))] == ["y", "y2"]
        assert page.locator("#trajectory-plot .subplot").count() == 2
        choose(page, "trajectory-runs", "1")
        assert len(lines_of(drawn(page, "trajectory-plot"))) == 1
        choose(page, "trajectory-runs", "all")
        choose(page, "trajectory-color", "optimizer")
        first, second = (line["line"]["color"] for line in lines_of(drawn(page, "trajectory-plot")))
        assert first != second


def test_the_slider_walks_over_spectra_by_key_and_by_hand(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        seen = {}
        page.focus("#spectrum-step")
        for key in ("Home", *["ArrowRight"] * (len(STEPS) - 1)):
            page.keyboard.press(key)
            page.wait_for_timeout(50)
            seen[page.inner_text("#spectrum-name")] = json.dumps(drawn(page, "spectrum-plot")[-1]["y"])
        assert list(seen) == [f"step {step}" for step in STEPS]
        assert len(set(seen.values())) == len(STEPS)
        assert page.get_attribute("#spectrum-step", "aria-valuetext") == f"step {STEPS[-1]}"
        page.fill("#spectrum-step", "2")
        page.wait_for_timeout(50)
        assert page.inner_text("#spectrum-name") == f"step {STEPS[2]}"
        choose(page, "spectrum-run", "1")
        assert json.dumps(drawn(page, "spectrum-plot")[-1]["y"]) not in seen.values()


def test_account_brackets_and_layers_draw_the_numbers_of_their_run(browser: Any, report: Path, store: Store) -> None:
    results = store.results().query("run == '/runs/lr0.1' and status != 'failed'")
    long = store.table("long").query("run == '/runs/lr0.1' and quantity == 'trace'")
    with opened(browser, report) as page:
        bars = {trace["name"]: trace["y"] for trace in drawn(page, "account-plot")}
        assert bars["rank of J"] == results["rank"].tolist()
        assert bars["data-limited"] == results["account_data_limited"].tolist()
        assert np.sum(list(bars.values()), axis=0).tolist() == [100] * len(STEPS)
        choose(page, "bracket-scale", "linear")
        traces = {trace.get("name"): trace for trace in drawn(page, "bracket-plot")}
        assert traces["bracket of K"]["y"] == results["curvature_upper_upper"].tolist()
        assert traces["K"]["y"] == results["scalar_curvature"].tolist()
        assert len(traces["chain holds"]["x"]) == len(STEPS)
        assert "holds at 8" in page.inner_text("#bracket-note")
        choose(page, "layer-scale", "linear")
        (heat,) = drawn(page, "layer-plot")
        for component, line in zip(("0.weight", f"{EVIL}.weight"), heat["z"], strict=True):
            assert line == long[long["component"] == component]["value"].tolist()


def test_names_that_look_like_markup_stay_text(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a name of the store was run: {dialog.message}"))
        assert page.text_content("h1") == "Curvature of <two> runs"
        assert EVIL in page.inner_text("#glance")
        assert "lr0.2 <b>$x" in page.text_content("#trajectory-plot .legend")
        assert "<script>alert" in page.text_content("#layer-plot .yaxislayer-above")
        assert page.locator("main b, main i, main script").count() == 0


def test_long_lines_are_thinned_with_their_extremes_and_the_page_says_so(browser: Any, tmp_path: Path) -> None:
    store = long_store(tmp_path / "long", 3000)
    write_report(store, tmp_path / "long.html")
    values = store.results()["trace"]
    with opened(browser, tmp_path / "long.html") as page:
        (line,) = lines_of(drawn(page, "trajectory-plot"))
        count = len(line["customdata"])
        assert count <= 500
        assert {0, 2999, int(values.idxmax()), int(values.idxmin())} <= set(line["customdata"])
        assert f"Drawn: {count} of 3,000 points" in page.inner_text("#trajectory-note")
        kept = page.evaluate("scalecurv.thinned([[NaN, ...Array(999).fill(NaN)].map((v, i) => i === 500 ? 1 : v)], 50)")
        assert 500 in kept
        assert page.evaluate("scalecurv.thinned([[3, 1, 2]])") == [0, 1, 2]


def test_one_violated_link_among_many_is_marked(browser: Any, tmp_path: Path) -> None:
    write_report(chain_store(tmp_path / "long", 1501, 701), tmp_path / "long.html")
    with opened(browser, tmp_path / "long.html") as page:
        marks = {trace.get("name"): trace["x"] for trace in drawn(page, "bracket-plot")}
        assert marks["chain violated"] == [701]
        assert len(marks["chain holds"]) == 500


def test_open_ends_whole_stacks_and_signs(browser: Any, tmp_path: Path) -> None:
    write_report(edge_store(tmp_path / "store"), tmp_path / "edge.html", quantities=["rank"])
    with opened(browser, tmp_path / "edge.html") as page:
        *band, line = drawn(page, "trajectory-plot")
        assert all(end > 31 for end in band[-1]["y"])  # no end of 31 is stored: the band is open
        assert "interval 30 to Infinity" in line["text"][0]
        stack = {trace["name"]: trace["y"] for trace in drawn(page, "account-plot")}
        assert (stack["rank of J"], stack["unexplained"]) == ([31], [4])  # the checkpoint with all five parts
        assert "1 checkpoint left out: " in page.inner_text("#account-note")
        (heat,) = drawn(page, "layer-plot")
        first, last = (scale[1] for scale in (heat["colorscale"][0], heat["colorscale"][-1]))
        red, _, blue = (int(part) for part in first[4:-1].split(","))
        assert (heat["z"], heat.get("reversescale")) == ([[-2, -2], [3, 3]], None)
        assert blue > red  # negative values are blue, and positive ones red, as in `plot`
        assert int(last[4:].partition(",")[0]) > 90


def test_texts_of_numbers_are_those_of_show(browser: Any, report: Path, store: Store) -> None:
    long = store.table("long")
    rows = long[(long["component"] == "") & ~long["quantity"].isin(["lambda_min"])]
    with opened(browser, report) as page:
        for name, of_name in rows.groupby("quantity", observed=True):
            texts = page.evaluate(
                """async (name) => { const found = await scalecurv.quantity(name);
                return Object.fromEntries(Array.from(found.value, (_, row) =>
                    [scalecurv.ROWS.texts.checkpoint[row], scalecurv.estimateText(found, row)])); }""",
                name,
            )
            for row in of_name.itertuples():
                assert texts[row.checkpoint] == str(estimate_of(row)), (name, row.checkpoint)
        odd = [
            (0.5, 0.4, math.inf, "budget"),
            (1e-9, 0.9e-9, 1.1e-9, "converged"),
            (123456, 120000, 126912, "converged"),
        ]
        odd += [
            (2.5e15, 2.4e15, 2.6e15, "converged"),
            (-0.031, -0.05, -0.03, "certified"),
            (0.0, -0.2, 0.2, "converged"),
        ]
        for value, lower, upper, status in odd:
            row = rows.iloc[0].copy()
            row[["value", "lower", "upper", "status", "confidence"]] = [value, lower, upper, status, 0.95]
            script = """([value, lower, upper, status]) => scalecurv.estimateText({ value: [value],
                lower: [lower], upper: [upper ?? Infinity], status: [status], confidence: [0.95] }, 0)"""
            end = None if upper == math.inf else upper
            assert page.evaluate(script, [value, lower, end, status]) == str(estimate_of(row))


def test_a_failure_without_a_step_moves_no_point(browser: Any, report: Path) -> None:
    """The first run has a file that could not be read, and no step of it is known."""
    with opened(browser, report) as page:
        lines = lines_of(drawn(page, "trajectory-plot"))
        assert lines[0]["x"] == lines[1]["x"]
        for plot in ("trajectory-plot", "account-plot", "bracket-plot"):
            assert page.evaluate(f"document.getElementById('{plot}').layout.xaxis.title.text") == "step"


def test_one_checkpoint_has_intervals_and_ticks(browser: Any, tmp_path: Path) -> None:
    store = long_store(tmp_path / "one", 1)
    write_report(store, tmp_path / "one.html")
    with opened(browser, tmp_path / "one.html") as page:
        (line,) = drawn(page, "trajectory-plot")
        assert line["error_y"]["array"] == pytest.approx([0.1])
        ticks = page.evaluate("scalecurv.symlogTicks({ kind: 'symlog', threshold: 1e4 }, 2000, 9000).tickvals.length")
        assert ticks >= 2
