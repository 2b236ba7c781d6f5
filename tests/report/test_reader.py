"""A report as its readers use it: themes, phones, paper, keys and aids, in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from scalecurv.report.page import write_report
from scalecurv.results.query import open_store
from tests.outcomes import exactly, outcome, record, store_of
from tests.report.pages import choose, opened

pytestmark = pytest.mark.browser

GROUND = "getComputedStyle(document.body).backgroundColor"
INK = "document.getElementById('trajectory-plot')._fullLayout.font.color"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_barrier_and_no_sideways_scroll(browser: Any, report: Path, width: int, theme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="NO AXE: pip install 'scalecurv[browser]'"
    )
    with opened(browser, report, width, theme, bypass_csp=True) as page:
        for one in page.locator("details").all():
            one.evaluate("(details) => { details.open = true }")
        found = axe.Axe().run(page).response["violations"]
        assert [
            (v["id"], [n["html"][:200] for n in v["nodes"][:3]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_theme_follows_the_system_then_the_reader_and_is_remembered(browser: Any, report: Path) -> None:
    with opened(browser, report, theme="dark") as page:
        dark = page.evaluate(GROUND), page.evaluate(INK)
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(200)
        light = page.evaluate(GROUND), page.evaluate(INK)
        assert light != dark
        for theme, colors in {"light": light, "dark": dark, "system": light}.items():
            page.click("#theme")
            page.wait_for_timeout(200)
            assert page.inner_text("#theme") == f"Theme: {theme}"
            assert (page.evaluate(GROUND), page.evaluate(INK)) == colors
        page.click("#theme")
        page.click("#theme")
        page.reload()
        page.wait_for_selector("html[data-report=ready]", state="attached")
        assert page.inner_text("#theme") == "Theme: dark"
        assert page.evaluate(GROUND) == dark[0]


def test_keys_reach_everything_and_the_focus_is_seen(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reached = set()
        for _ in range(80):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none" or page.evaluate("document.activeElement === document.body")
        wanted = {
            "trajectory-quantity",
            "trajectory-layout",
            "spectrum-step",
            "account-run",
            "bracket-run",
            "table-filter",
        }
        assert wanted | {"layer-run", "table-csv", "SUMMARY"} <= reached


def test_paper_is_light_open_and_without_controls(browser: Any, report: Path) -> None:
    with opened(browser, report, theme="dark") as page:
        choose(page, "trajectory-quantity", "trace")
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(GROUND) == "rgb(255, 255, 255)"
        assert page.evaluate(INK) == "#1b1f24"
        assert page.locator("details:not([open])").count() == 0
        assert not any(one.is_visible() for one in page.locator("select, nav, input, .tool, .modebar").all())
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
        assert page.evaluate(INK) != "#1b1f24"
        assert page.pdf().startswith(b"%PDF")


def test_a_store_of_one_number_is_a_page_without_a_fault(browser: Any, tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path / "s", outcome("/runs/a/last.pt", record("k", exactly(loss=1.0)))))
    write_report(store, tmp_path / "one.html")
    with opened(browser, tmp_path / "one.html", 390) as page:
        assert page.locator("#trajectory-plot .points path").count() == 1
        assert "place in the order of training" in page.text_content("#trajectory-plot")
        assert page.locator("#table tbody tr").count() == 1


def test_nothing_can_be_sent_from_the_page(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        buttons = page.locator(".modebar-btn").evaluate_all("(all) => all.map((one) => one.dataset.title)")
        assert set(buttons) == {"Download plot", "Zoom", "Pan", "Reset axes"}
        assert page.evaluate("document.getElementById('trajectory-plot')._context.plotlyServerURL") == ""


def test_a_browser_that_cannot_unpack_is_told_so(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    assert "too old to unpack the numbers" in page.inner_text("#trouble")
    page.close()
