"""CONTRIBUTING says what is true: rows, homes, paths, commands and limits are those of the repository."""

import re
from pathlib import Path

from tests.test_layers import CEILING, FLOOR, HOMES, ROWS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = re.compile(r"`([\w.]+(?:/[\w.]*)+|\w+\.(?:py|md))`")  # a path, or a file at the top


def rows_shown() -> list[set[str]]:
    """Return the rooms of each row of the picture, the lowest row first."""
    (picture,) = re.findall(r"```\n(__main__.*?)```", TEXT, re.DOTALL)
    return [{line.split()[0] for line in row.splitlines()} for row in reversed(picture.strip().split("\n\n"))]


def test_the_rows_are_those_that_are_checked() -> None:
    assert rows_shown() == [set(row) for row in ROWS]


def test_the_homes_of_libraries_are_those_that_are_checked() -> None:
    table = TEXT[TEXT.index("| library | lives in |") :].split("\n\n")[0].splitlines()[2:]
    names = [re.findall(r"`([^`]+)`", line) for line in table]
    assert {library: tuple(homes) for library, *homes in names} == HOMES


def test_every_path_exists() -> None:
    paths = NAMED.findall(TEXT)
    assert len(paths) > 20
    assert [path for path in paths if not ((ROOT / path).exists() or (ROOT / "scalecurv" / path).exists())] == []


def test_every_command_of_the_makefile_is_described() -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^\| `make (\w+)` \|", TEXT, re.MULTILINE)) == set(targets.split())


def test_the_limits_of_a_file_are_those_that_are_checked() -> None:
    assert f"at most {CEILING} lines, and a reason if under {FLOOR}" in TEXT
