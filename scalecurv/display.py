"""Objects as people see them at a prompt: one line of text, and HTML in which every text is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

LONGEST_NAME = 80  # characters of a name from a file that a message shows


def shown(name: object) -> str:
    r"""Return a name from a file for a message: control characters are escaped, and a long name is cut.

    Example:
        >>> shown("0.weight"), shown("a\nb"), len(shown("w" * 10**6))
        ('0.weight', 'a\\nb', 84)
    """
    if not isinstance(name, str | int):
        return kind_of(name)
    text = str(name) if isinstance(name, str) or abs(name) < 10**LONGEST_NAME else "a long number"
    cut = printable(text[:LONGEST_NAME], "")
    return f"{cut} ..." if len(text) > LONGEST_NAME else cut


def printable(text: str, spared: str = "\n") -> str:
    r"""Return a text in which control characters are escaped, all but those in `spared`: a terminal obeys none.

    Example:
        >>> printable("a\x1b[2J b")
        'a\\x1b[2J b'
    """
    return "".join(c if c.isprintable() or c in spared else c.encode("unicode_escape").decode() for c in text)


def encodable(text: str) -> str:
    r"""Return a text that every file and database takes: what UTF-8 cannot hold, such as a byte of a name, is escaped.

    Example:
        >>> encodable("a\udcff\0 é") == r"a\udcff\x00 é"
        True
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")


def listing(names: Iterable[object], most: int = 6) -> str:
    """Return the first names, shown, as a list in a message: "a, b and 3 others".

    Example:
        >>> listing("abc", 2), listing("abc")
        ('a, b and 1 other', 'a, b, c')
    """
    every = list(names)
    rest = len(every) - most
    first = ", ".join(shown(name) for name in every[:most])
    return f"{first} and {rest} other{'s' if rest > 1 else ''}" if rest > 0 else first


def kind_of(value: object) -> str:
    """Return the type of a value with its article, for a message: "an int", "a dict", "None".

    Example:
        >>> kind_of(3), kind_of({}), kind_of(None)
        ('an int', 'a dict', 'None')
    """
    return "None" if value is None else with_article(type(value).__name__)


def with_article(word: str) -> str:
    """Return a word with "a" or "an" before it, by its first letter (a capital U, as in UserDict, takes "a")."""
    return f"{'an' if word[:1] in 'aeiouAEIO' or word == 'ndarray' else 'a'} {word}"


def html_table(title: str, rows: Iterable[tuple[object, ...]], head: Sequence[str] = ()) -> str:
    """Return a table with a title, one line for each of `rows` and column heads, where `head` has any.

    All cells are texts and are escaped: a name of a class or a layer never becomes markup.

    Example:
        >>> html_table("A<b>", [("P", 3)])
        '<table><caption>A&lt;b&gt;</caption><tr><td>P</td><td>3</td></tr></table>'
    """
    lines = [_line("th", head)] if head else []
    lines += [_line("td", row) for row in rows]
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def _line(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"


def html_text(text: str) -> str:
    """Return one line of HTML that shows `text` as it is.

    Example:
        >>> html_text("0.1 <= x")
        '<code>0.1 &lt;= x</code>'
    """
    return f"<code>{escape(text)}</code>"


class Described:
    """An object that is shown by its `_facts`, texts by their labels: in one line, and as a table in notebooks.

    The line leaves out the labels in `_bare`, whose texts speak for themselves.

    Example:
        >>> class Box(Described):
        ...     _bare = ("kind",)
        ...     _facts = {"kind": "wood", "width": "3"}
        >>> Box()
        Box(wood, width=3)
    """

    _bare: tuple[str, ...] = ()

    @property
    def _facts(self) -> Mapping[str, str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        parts = (text if label in self._bare else f"{label}={text}" for label, text in self._facts.items())
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._facts.items())
