"""Objects as people see them at a prompt: one line of text, and HTML in which every text is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape


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
