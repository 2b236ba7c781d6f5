"""The site of the documents: it builds without a complaint, every link of it leads somewhere, and it asks no server."""

import logging
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.commands import ROOT

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What one page of HTML loads, links to, and offers as anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADED and LOADED[tag] in found and found.get("rel") not in ("next", "prev", "canonical"):
            self.loaded.append(found[LOADED[tag]])


class Site:
    """All pages of a folder, parsed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}

    def broken(self) -> list[str]:
        """Return each link or loaded file that leads nowhere in the folder, or asks another server for a file."""
        return [
            f"{path.relative_to(self.folder)}: {target}"
            for path, page in self.pages.items()
            for target in (*page.links, *page.loaded)
            if not self._leads(path, target, loaded=target in page.loaded)
        ]

    def _leads(self, path: Path, target: str, loaded: bool) -> bool:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            return not loaded and parts.scheme in ("http", "https", "mailto")
        if path.name == "404.html":  # which a server shows at any address: its links begin at the root
            return True
        there = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
        there = there / "index.html" if there.is_dir() else there
        if not there.is_file():
            return False
        return not parts.fragment or there.suffix != ".html" or unquote(parts.fragment) in self.pages[there].anchors


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site as `make docs` builds it, in another folder; what would end that ends this."""
    folder = tmp_path_factory.mktemp("site")
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    listener = Listener(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        logging.getLogger("mkdocs").addHandler(listener)
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
        logging.getLogger("mkdocs").removeHandler(listener)
    assert complaints == []
    return Site(folder)


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    assert len(site.pages) > 40
    assert site.broken() == []


def test_files_outside_of_the_documents_are_pages(site: Site) -> None:
    """A program is shown as it is, a folder by its files, and links between them stay on the site."""
    program = (site.folder / "examples" / "plain_loop.py.html").read_text()
    assert "scalecurv" in program
    assert "examples/plain_loop.py" in program
    for name in ("CHANGELOG", "CONTRIBUTING", "examples/index", "benchmarks/results/store.txt"):
        assert (site.folder / f"{name}.html").is_file(), name
    assert "benchmarks/results/store.txt.html" in site.pages[site.folder / "running.html"].links


def test_the_search_finds_words_of_every_page(site: Site) -> None:
    index = (site.folder / "search" / "search_index.json").read_text()
    for words in ("participation_ratio", "sgd_threshold", "RAY_AUTH_MODE", "Grigsby"):
        assert words in index, words


def test_the_theme_has_a_dark_side(site: Site) -> None:
    page = (site.folder / "quantities.html").read_text()
    assert 'data-md-color-scheme="slate"' in page
    assert 'data-md-color-scheme="default"' in page


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="x"></h1><a href="b.html#y">1</a><a href="c.html">2</a><a href="#x">3</a>')
    (tmp_path / "b.html").write_text(
        '<script src="https://cdn.example/x.js"></script><a href="https://x.example">4</a>'
    )
    assert Site(tmp_path).broken() == ["a.html: b.html#y", "a.html: c.html", "b.html: https://cdn.example/x.js"]
