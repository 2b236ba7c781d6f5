"""Write the pages that are generated, or with --check say which of them are out of date.

docs/api.md comes from signatures and docstrings, docs/cli.md from the commands, docs/gallery.md from the scripts of
examples/gallery. `make docs` runs this program, and the
suite compares the pages with what it would write now.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import api_page
import cli_page
import gallery_page

HERE = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "api.md": api_page.page,
    "cli.md": cli_page.page,
    "gallery.md": gallery_page.page,
}


def stale() -> list[str]:
    """Return the names of the pages that differ from what would be written now."""
    return [name for name, page in PAGES.items() if not (HERE / name).is_file() or (HERE / name).read_text() != page()]


def main() -> None:
    """Write every page that is out of date."""
    if "--check" in sys.argv[1:]:
        sys.exit(f"out of date: {', '.join(old)}; run `make docs`" if (old := stale()) else 0)
    for name in stale():
        (HERE / name).write_text(PAGES[name]())
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
