"""Hooks of MkDocs: what pages link to outside of docs/ becomes part of the site, at its path in the repository.

Pages are written for the repository: their links are relative to their file there. The site lays docs/ over the root of
the repository, so docs/store.md is store.html and examples/README.md is examples/index.html. Markdown stays Markdown;
a program or a table becomes a page that shows it; a folder becomes a page that shows its files.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"(\]\()([^()\s]+)(\))")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json", ".sh": "bash"}
SHOWN = (".py", ".yaml", ".yml", ".toml", ".json", ".sh", ".txt", ".md", "")  # what a page can show


def prose(markdown: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of a text in order, each with whether links in it are links: not so in code."""
    for pattern_found, piece in _split(FENCE, markdown):
        if pattern_found:
            yield False, piece
        else:
            yield from ((not code, part) for code, part in _split(CODE, piece))


def _split(pattern: re.Pattern[str], text: str) -> Iterator[tuple[bool, str]]:
    at = 0
    for found in pattern.finditer(text):
        yield False, text[at : found.start()]
        yield True, found[0]
        at = found.end()
    yield False, text[at:]


def targets(markdown: str, home: str) -> Iterator[str]:
    """Yield the path in the repository of everything that a text links to; `home` is the folder of the text there."""
    for linked, piece in prose(markdown):
        if linked:
            for _, target, _ in LINK.findall(piece):
                path = urlsplit(target)
                if path.path and not path.scheme and not path.netloc:
                    yield normpath(f"{home}/{unquote(path.path)}")


def site_path(path: str) -> str:
    """Return where the file or folder at `path` of the repository is in the tree of sources of the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"{path}/README.md"
    return path if Path(path).suffix == ".md" or Path(path).suffix not in SHOWN else f"{path}.md"


def in_repository(source: str) -> str:
    """Return the folder in the repository of a source of the site."""
    return str(Path("docs" if (ROOT / "docs" / source).exists() else "", source).parent)


def page_of(path: str) -> str | None:
    """Return the Markdown that shows a file or a folder; None for what the site takes as it is."""
    at = ROOT / path
    if at.is_dir():
        if (at / "README.md").is_file():
            return (at / "README.md").read_text()
        files = sorted(str(file.relative_to(at)) for file in at.rglob("*") if file.is_file())
        kept = [name for name in files if not any(part.startswith((".", "__")) for part in Path(name).parts)]
        listed = [f"- [`{name}`]({name})" if Path(name).suffix in SHOWN else f"- `{name}`" for name in kept]
        return f"# {path}\n\n" + "\n".join([*listed, ""])
    if at.suffix == ".md":
        return at.read_text()
    if at.suffix in SHOWN:
        return f"# {path}\n\n~~~~~~{LANGUAGES.get(at.suffix, 'text')}\n{at.read_text()}\n~~~~~~\n"
    return None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside of docs/ that a page leads to, and what those lead to in turn."""
    todo = [(file.content_string, "docs/" + os.path.dirname(file.src_uri)) for file in files.documentation_pages()]
    todo += [(f"[]({entry})", ".") for entry in ("CHANGELOG.md", "CONTRIBUTING.md", "examples", "benchmarks")]
    while todo:
        for path in targets(*todo.pop()):
            source = site_path(path)
            if files.get_file_from_path(source) is not None or not (ROOT / path).exists() or path.startswith("."):
                continue
            text = page_of(path)
            if text is None:
                files.append(File.generated(config, source, abs_src_path=str(ROOT / path)))
            else:
                files.append(File.generated(config, source, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
                todo.append((text, path if (ROOT / path).is_dir() else os.path.dirname(path) or "."))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return the text with each link as the site has it; what does not exist stays, for MkDocs to complain of."""
    home = in_repository(page.file.src_uri) or "."

    def moved(found: re.Match[str]) -> str:
        parts = urlsplit(found[2])
        if not parts.path or parts.scheme or parts.netloc:
            return found[0]
        path = normpath(f"{home}/{unquote(parts.path)}")
        if not (ROOT / path).exists():
            return found[0]
        target = relpath(site_path(path), os.path.dirname(page.file.src_uri) or ".")
        return found[1] + target + (f"#{parts.fragment}" if parts.fragment else "") + found[3]

    return "".join(LINK.sub(moved, piece) if linked else piece for linked, piece in prose(markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Write the index of the search as a script, too: pages that are opened from the disk may not read JSON."""
    folder = Path(config.site_dir) / "search"
    (folder / "search_index.js").write_text(f"var __index = {(folder / 'search_index.json').read_text()}")
