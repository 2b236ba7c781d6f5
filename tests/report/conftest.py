"""One headless Chromium for all tests of pages, and a report of the store that has something of everything."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scalecurv.report.page import write_report
from scalecurv.results.query import Store
from tests.report.shown import shown_store

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium of this machine; the tests skip, with what to install, where there is none."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("NO BROWSER: these tests of the report need Chromium; run `apt-get install chromium`")
    api = pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT: run `pip install 'scalecurv[browser]'`")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return shown_store(tmp_path_factory.mktemp("shown") / "a store & more")


@pytest.fixture(scope="session")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(store, file, title="Curvature of <two> runs")
    return file
