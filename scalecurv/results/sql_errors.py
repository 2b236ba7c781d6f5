"""The errors of a query as one line, with advice that fits the tables of a store."""

from collections.abc import Sequence

import duckdb


def reason_of(error: duckdb.Error, names: Sequence[str]) -> str:
    r"""Return DuckDB's message in one line: candidates for a column stay, the echoed query goes.

    `names` are the tables that a query can name.

    Example:
        >>> reason_of(duckdb.CatalogException("Catalog Error: Table with name x does not exist"), ["results", "long"])
        'Catalog Error: Table with name x does not exist; the tables are results, long'
        >>> reason_of(duckdb.ParserException("Parser Error: syntax error at end of input\nLINE 1: select"), ["long"])
        'Parser Error: syntax error at end of input'
    """
    text = str(error).partition("\nLINE ")[0]
    if isinstance(error, duckdb.CatalogException) and "Table with name" in text:
        text = text.partition("!\nDid you mean")[0]  # DuckDB knows only the tables that the query names, and its own
    return " ".join(text.split()) + _advice(error, names)


def _advice(error: duckdb.Error, names: Sequence[str]) -> str:
    if isinstance(error, duckdb.CatalogException) and "Table with name" in str(error):
        return f"; the tables are {', '.join(names)}"
    if isinstance(error, duckdb.InvalidInputException) and "parameter" in str(error):
        return "; give a value for each $name, and for no other: -p NAME VALUE, in Python params={name: value}"
    return ""
