"""The tables of three pages: the text of results/NAME.txt between two markers.

A page marks the place of a table by two comments, `<!-- table: NAME -->` and `<!-- end -->`. What stands between them
is replaced by the file's text, up to its first empty line: no figure there is typed by hand.

    python -m benchmarks.tables
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "benchmarks" / "README.md", ROOT / "docs" / "performance.md", ROOT / "docs" / "callbacks.md")
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: Path = RESULTS) -> str:
    """Return the text of a page with the table of each of its places; one that has not been made yet is said so."""
    return PLACE.sub(lambda place: place[1] + _table(results / f"{place[2]}.txt") + place[3], page)


def _table(path: Path) -> str:
    if not path.exists():
        return "Not run yet: `make bench`.\n"
    text = path.read_text().strip().split("\n\n")[0]
    return f"```text\n{text}\n```\n"


def main() -> None:
    for page in PAGES:
        page.write_text(filled(page.read_text()))
        print(f"{page.relative_to(ROOT)}: {len(PLACE.findall(page.read_text()))} tables")


if __name__ == "__main__":
    main()
