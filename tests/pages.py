"""Tables of the documents that tests compute. With WRITE_PAGES=1 in the environment they are written, not compared."""

import os
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def row(*cells: str) -> str:
    """Return a row of a table; a bar within a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def code(text: str) -> str:
    """Return the text as code, in two backticks where it holds one."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def check_table(page: str, heading: str, rows: Iterable[str]) -> None:
    """Fail where the table below this row of headings is not made of these rows, in this order."""
    path, wanted = DOCS / page, list(rows)
    lines = path.read_text().splitlines()
    assert heading in lines, f"docs/{page} has no table {heading}"
    at = lines.index(heading) + 2
    end = next((i for i, line in enumerate(lines[at:], at) if not line.startswith("|")), len(lines))
    if os.environ.get("WRITE_PAGES"):
        path.write_text("\n".join([*lines[:at], *wanted, *lines[end:], ""]))
        return
    assert lines[at:end] == wanted, f"docs/{page}, below {heading}: write it by WRITE_PAGES=1 pytest, if this is right"
