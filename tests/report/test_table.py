"""The table of a report in a real browser: it sorts, filters and downloads all rows with all digits."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scalecurv.report.page import write_report
from scalecurv.results.query import Store
from tests.report.pages import choose, opened
from tests.report.shown import BIG, EVIL, edge_store, long_store

pytestmark = pytest.mark.browser


def filtered(page: Any, text: str) -> int:
    """Type a filter, and return the number of rows that the page offers to download."""
    page.fill("#table-filter", text)
    page.wait_for_timeout(350)
    return int(page.inner_text("#table-csv").partition("(")[2].strip(")").replace(",", ""))


def column(page: Any, name: str) -> list[str]:
    names = page.locator("#table thead th").all_inner_texts()
    at = next(i for i, text in enumerate(names) if text.split(" ")[0] == name)
    return page.locator(f"#table tbody tr td:nth-child({at + 1})").all_inner_texts()


def downloaded(page: Any) -> pd.DataFrame:
    with page.expect_download() as caught:
        page.click("#table-csv")
    return pd.read_csv(io.StringIO(Path(caught.value.path()).read_text()))


def test_filters_keep_the_rows_that_sql_keeps(browser: Any, report: Path, store: Store) -> None:
    cases = {
        "step>10": "step > 10",
        "step>=10 lr=0.2": "step >= 10 and lr = 0.2",
        "status=failed": "status = 'failed'",
        "trace<35 trace_status=converged": "trace < 35 and step <> 5",
        "lr0.1": "run = '/runs/lr0.1'",
        f"{EVIL} step!=3": "run <> '/runs/lr0.1' and false",
        "": "true",
    }
    with opened(browser, report) as page:
        for text, condition in cases.items():
            assert filtered(page, text) == len(store.sql(f"select * from results where {condition}")), text
        filtered(page, "stepp>3")
        assert page.inner_text("#table-page") == "no column stepp; names are in the titles of columns"
        filtered(page, "step>many")
        assert 'step is a number, and "many" is none' in page.inner_text("#table-page")


def test_titles_sort_up_then_down_by_key_and_missing_values_stay_last(browser: Any, report: Path, store: Store) -> None:
    with opened(browser, report) as page:
        button = page.get_by_role("button", name="trace", exact=True)
        rows = store.results()
        for direction in ("ascending", "descending"):
            button.focus()
            page.keyboard.press("Enter")
            page.wait_for_selector(f"#table th[aria-sort={direction}]")
            assert page.evaluate("document.activeElement.textContent") == "trace"
            ordered = rows.sort_values("trace", ascending=direction == "ascending", na_position="last", kind="stable")
            assert column(page, "step") == ["" if pd.isna(step) else str(step) for step in ordered["step"]]
        page.get_by_role("button", name="run", exact=True).click()
        page.wait_for_selector("#table th[aria-sort=ascending]")
        assert column(page, "run") == sorted(column(page, "run"))


def test_the_download_has_every_digit_of_every_row(browser: Any, report: Path, store: Store) -> None:
    results = store.results()
    with opened(browser, report, accept_downloads=True) as page:
        found = downloaded(page)
        assert found["checkpoint"].tolist() == results["checkpoint"].tolist()
        names = set(results) - {"lambda_min"}
        assert names - set(found) <= {name for name in names if results[name].isna().all()}
        for name in found.columns.intersection(results.columns):
            if pd.api.types.is_numeric_dtype(results[name]):
                pd.testing.assert_series_equal(
                    found[name].astype("Float64"), results[name].astype("Float64"), check_exact=True, check_names=False
                )
            else:
                assert found[name].fillna("").tolist() == results[name].fillna("").tolist(), name
        assert set(found["trace_status"].dropna()) == {"converged", "budget"}
        filtered(page, "step=5")
        assert downloaded(page)["step"].tolist() == [5, 5]


def test_the_download_has_whole_numbers_of_any_size_and_no_end_where_none_is(browser: Any, tmp_path: Path) -> None:
    write_report(edge_store(tmp_path / "store"), tmp_path / "edge.html")
    with opened(browser, tmp_path / "edge.html", accept_downloads=True) as page:
        found = downloaded(page)
        assert found["seed"].tolist() == found["samples"].tolist() == [BIG, BIG]
        assert found["rank_lower"].tolist() == [30, 30]
        assert found["rank_upper"].isna().all()  # as in results, where it is null


def test_pages_show_all_rows_and_a_download_is_never_thinned(browser: Any, tmp_path: Path) -> None:
    store = long_store(tmp_path / "long", 1234)
    write_report(store, tmp_path / "long.html")
    with opened(browser, tmp_path / "long.html", accept_downloads=True) as page:
        assert page.inner_text("#table-page") == "1 to 50 of 1,234 checkpoints"
        assert page.is_disabled("#table-back")
        for _ in range(24):
            page.click("#table-next")
        page.wait_for_function("document.getElementById('table-page').textContent.startsWith('1,201')")
        assert column(page, "step") == [str(step) for step in range(1200, 1234)]
        assert page.is_disabled("#table-next")
        assert downloaded(page)["trace"].tolist() == store.results()["trace"].tolist()


def test_all_quantities_can_be_shown(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        before = page.locator("#table thead th").count()
        choose(page, "table-columns", "all")
        names = page.locator("#table thead th").all_inner_texts()
        assert len(names) > before
        assert {"account_dead", "curvature_lower", "error"} <= set(names)
