"""A page of a report as a reader has it: opened from a file, with all that it says to the console and the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "html[data-report=ready]"


@contextmanager
def opened(browser: Any, file: Path, width: int = 1280, theme: str = "light", **options: Any) -> Iterator[Any]:
    """Open a report; when the block ends, assert that it said nothing to the console and asked for nothing else."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: said.append(f"request: {request.url}") if not own(request.url, file) else None)
    page.goto(file.as_uri())
    page.wait_for_selector(READY, state="attached")
    yield page
    context.close()
    assert said == []


def own(address: str, file: Path) -> bool:
    """Return True for the file itself, and for what a page makes of its own content."""
    return address == file.as_uri() or address.startswith(("data:", "blob:"))


def choose(page: Any, name: str, value: str) -> None:
    """Choose an option, and wait until the picture is drawn again."""
    page.select_option(f"#{name}", value)
    page.wait_for_timeout(100)


def drawn(page: Any, plot: str) -> list[dict[str, Any]]:
    """Return the traces of a picture, as Plotly has them; typed arrays as lists."""
    script = """(id) => JSON.parse(JSON.stringify(document.getElementById(id).data,
        (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value))"""
    return page.evaluate(script, plot)
