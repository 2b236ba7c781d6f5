"""A report of 12, 1,000 and 10,000 checkpoints: its size, the time to write it, and to open it in Chromium.

Every checkpoint has 50 quantities with intervals. Opening is timed inside the page, from the start of its navigation to
the first plot that is drawn, to the table that sorts and filters, and to the last plot.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.store import BASE, bulk, outcome
from scalecurv.report.page import write_report
from scalecurv.results.query import open_store
from scalecurv.store.reader import INDEX
from scalecurv.store.writer import prepare_store, write_part

SECONDS, MEGABYTES = 5.0, 50.0  # goals at the largest size
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MARKS = {"first plot": "plot", "table": "table", "all": "report"}
# what tells when each part of the page is ready, in place before the page is
WATCH = """
window.readyAt = {};
new MutationObserver(() => {
  for (const name of Object.keys(document.documentElement.dataset)) window.readyAt[name] ??= performance.now() / 1000;
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-plot", "data-table", "data-report"] });
"""


def store_of(folder: Path, checkpoints: int) -> Path:
    """Write a store of that many checkpoints of one run: parts for a few, one index for many."""
    prepare_store(folder)
    if checkpoints % BASE == 0:
        (folder / INDEX).write_bytes(bulk(checkpoints))
        return folder
    rng = np.random.default_rng(0)
    for number in range(checkpoints):
        write_part(folder, replace(outcome(number, rng), created=1.7e9 + number))
    return folder


def opened(browser: Any, page: Path, repeats: int) -> dict[str, float]:
    """Return the seconds until each part of the page is ready, the median of a few times that it is opened."""
    times: list[dict[str, float]] = []
    for _ in range(repeats):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        tab = context.new_page()
        tab.add_init_script(WATCH)
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-report=ready]", state="attached", timeout=120_000)
        times.append(tab.evaluate("window.readyAt"))
        context.close()
    return {f"{words}, s": float(np.median([one[mark] for one in times])) for words, mark in MARKS.items()}


def measure(browser: Any, folder: Path, checkpoints: int, repeats: int) -> dict[str, float]:
    store = open_store(store_of(folder / f"store_{checkpoints}", checkpoints))
    page = folder / f"report_{checkpoints}.html"
    began = time.perf_counter()
    written = write_report(store, page)
    seconds = time.perf_counter() - began
    assert written.checkpoints == checkpoints
    return {"size, MB": written.size / 1e6, "write, s": seconds, **opened(browser, page, repeats)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        sys.exit("no Chromium; run `apt-get install chromium`")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        columns = {f"{n:,}": measure(browser, Path(folder), n, options.repeats) for n in options.sizes}
        version = browser.version
        browser.close()
    largest = columns[f"{max(options.sizes):,}"]
    met = largest["all, s"] < SECONDS and largest["size, MB"] < MEGABYTES
    table = pd.DataFrame(columns).to_string(float_format=lambda x: f"{x:.2f}")
    goal = f"goal: under {SECONDS:g} s and {MEGABYTES:g} MB at {max(options.sizes):,}: {'met' if met else 'missed'}"
    lines = [
        f"A report by the number of checkpoints (50 quantities each), opened in Chromium {version}",
        "",
        table,
        "",
        goal,
    ]
    print("\n".join(lines))
    if max(options.sizes) >= 10_000:
        (Path(__file__).parent / "results" / "report_page.txt").write_text("\n".join(lines) + "\n")
    sys.exit(not met)


if __name__ == "__main__":
    main()
