"""The blocks of code in a document, each with the mark above it that says why it is not run, or where it runs.

A mark is a comment of HTML on the line above the fence, which no reader sees:

    <!-- not run: a cluster is needed -->     the reason; its commands are parsed nevertheless
    <!-- from examples/plain_loop.py -->      lines of a file that the suite runs, as they stand there

A block of text that follows with nothing between is what the block prints.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One block: where its text begins, its language, its text, and what its mark says."""

    line: int
    language: str
    text: str
    reason: str = ""  # why it is not run
    source: str = ""  # the file that it is taken from
    output: str | None = None  # what it prints, where the page says so

    def commands(self) -> list[str]:
        """Return the lines of a shell, those that are continued by a backslash as one, without comments."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if shlex.split(line, comments=True)]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of bash and of Python in a page, in order; an unknown mark is an error of the page."""
    text, found = page.read_text(), []
    for match in FENCE.finditer(text):
        if match["language"] not in ("bash", "python"):
            continue
        kind, _, rest = (match["mark"] or "").partition(": ")
        line = text[: match.start("text")].count("\n") + 1
        if kind == "not run" and rest.strip():
            found.append(Block(line, match["language"], match["text"], reason=rest))
        elif kind.startswith("from "):
            found.append(Block(line, match["language"], match["text"], source=kind.removeprefix("from ")))
        else:
            assert not kind, f"{page}:{line}: <!-- {match['mark']} --> is no mark: not run: REASON, or from FILE"
            found.append(Block(line, match["language"], match["text"], output=match["output"]))
    return found


def written(page: Path, block: Block, output: str) -> None:
    """Put what a block prints into its page, in place of what the page says."""
    text = page.read_text()
    shown = f"```{block.language}\n{block.text}```\n\n```text\n"
    assert text.count(shown) == 1, f"{page}:{block.line}: the page has this block twice"
    page.write_text(text.replace(f"{shown}{block.output}```", f"{shown}{output}```"))
