"""Docstrings are plain: they begin with a verb or a noun, and what users import has an example that runs."""

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import scalecurv

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "scalecurv").rglob("*.py"))
OPENINGS = re.compile(r"(Of|What|Whether|How|Likewise|The same)\b")
RIDDLE = re.compile(r"(?<![,(\[] )(?<![(\[])(\.\.\.|…)")  # dots that do not continue a list or a shape


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring of a module, private ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def prose(text: str) -> str:
    """Return a docstring without the lines of its examples."""
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith((">>>", "...")))


def complaints(source: str) -> list[tuple[int, str]]:
    """Return the line and the reason of every docstring that is not plain."""
    found = []
    for line, text in docstrings(source):
        if opening := OPENINGS.match(text):
            found.append((line, f"begins with {opening[1]!r}"))
        if RIDDLE.search(prose(text)):
            found.append((line, "leaves something out by dots"))
    return found


def test_docstrings_are_plain() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {reason}"
        for path in MODULES
        for line, reason in complaints(path.read_text())
    ]
    assert not found, "\n".join(found)


def test_a_docstring_that_is_not_plain_is_found() -> None:
    plain = '"""Return the sums of 32, 64, ... terms, shape (n, ...)."""'
    assert complaints(plain) == []
    assert complaints('def f():\n    """The same of a block."""') == [(2, "begins with 'The same'")]
    assert complaints('class A:\n    def _g(self):\n        """What is left."""') == [(3, "begins with 'What'")]
    assert complaints('"""Return it, or ... nothing."""') == [(1, "leaves something out by dots")]
    assert complaints('"""Offer one.\n\n    >>> for i in ():\n    ...     i\n    """') == []


def test_every_public_name_has_an_example() -> None:
    texts = {name: getattr(scalecurv, name).__doc__ or "" for name in scalecurv.__all__}
    assert [name for name, text in texts.items() if "Example:" not in text or ">>>" not in text] == []


def test_every_example_runs() -> None:
    failures: list[str] = []
    runner, finder, count = doctest.DocTestRunner(verbose=False), doctest.DocTestFinder(), 0
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__"):
            for example in finder.find(importlib.import_module(name)):
                runner.run(example, out=failures.append)
                count += len(example.examples) > 0
    assert failures == []
    assert count >= len(scalecurv.__all__)
