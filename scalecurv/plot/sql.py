"""SQL over a frame, evaluated by DuckDB: conditions on rows, and expressions of their columns."""

import json
from functools import cache
from typing import Any

import duckdb
import pandas as pd

from scalecurv.errors import Misuse

DEEPEST = 300  # levels of a syntax tree, of which an operation has three: deeper ones end Python's stack
TABLE = "results"  # the name that a frame has in a condition or an expression


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return a database that reads and writes no file: a condition may come from somebody else."""
    names = ("python_enable_replacements", "enable_external_access")
    return duckdb.connect(":memory:", config={**dict.fromkeys(names, False), "lock_configuration": True})


def _connection() -> duckdb.DuckDBPyConnection:
    """Return a connection with tables of its own: a database of its own would take 30 ms."""
    return _database().cursor()


def _reason(error: duckdb.Error) -> str:
    """Return DuckDB's message in one line, without the echoed query."""
    return " ".join(str(error).partition("\nLINE ")[0].split())


def condition(rows: pd.DataFrame, where: str) -> pd.Series:
    """Return whether each row meets a SQL condition; a null counts as no. Raises Misuse where it does not run."""
    met = evaluated(rows, where, "the condition")
    if not (pd.api.types.is_bool_dtype(met) or met.dropna().map(lambda one: isinstance(one, bool)).all()):
        raise Misuse(f"the condition {where!r} gives {met.dropna().iloc[0]!r}; give one that is true or false")
    return met.fillna(False).astype(bool)


def evaluated(rows: pd.DataFrame, expression: str, what: str = "the expression") -> pd.Series:
    """Return the value of a SQL expression in each row, in the order of the rows; raises Misuse by DuckDB's reason."""
    node, _ = parsed(expression, what)
    del node  # parsed for its errors: text that ends the expression and begins a statement is refused there
    fresh = rows.copy().assign(_position=range(len(rows)))  # DuckDB refuses the views of a reversed frame
    with _connection() as connection:
        connection.register(TABLE, fresh)
        try:
            table = connection.sql(f"select _position, ({expression}\n) as _value from {TABLE}").df()
        except duckdb.Error as error:
            raise Misuse(f"{what} {expression!r} does not run: {_reason(error)}") from error
    if len(table) != len(rows):
        raise Misuse(f"{what} {expression!r} has {len(table)} values for {len(rows)} row(s); give one for each row")
    ordered = table.sort_values("_position")["_value"]
    return ordered.set_axis(rows.index)


@cache
def parsed(expression: str, what: str = "the expression") -> tuple[Any, str]:
    """Return DuckDB's syntax tree of one SQL expression, and its alias ("" without one); raises Misuse."""
    serialized = "select json_serialize_sql(?)"
    with _connection() as connection:
        try:
            text = connection.execute(serialized, [f"select {expression}\nfrom {TABLE}"]).fetchall()[0][0]
        except duckdb.Error as error:
            raise Misuse(f"{what} {expression!r} does not run: {_reason(error)}") from error
    try:
        answer = json.loads(text)
    except RecursionError as error:
        raise Misuse(_too_deep(expression, what)) from error
    if answer["error"]:
        raise Misuse(f"{what} {expression!r} does not run: {' '.join(answer['error_message'].split())}")
    node = answer["statements"][0]["node"]
    if len(answer["statements"]) != 1 or len(node.get("select_list", ())) != 1:
        raise Misuse(f"{what} {expression!r} is not one expression; give one at a time")
    tree = node["select_list"][0]
    kinds, depth = _kinds(tree)
    if depth > DEEPEST:
        raise Misuse(_too_deep(expression, what))
    if "SUBQUERY" in kinds:
        instead = "max(step) over (partition by run) has the largest step of a run in each row"
        raise Misuse(f"{what} {expression!r} holds a query of its own; leave it out: {instead}")
    if "STAR" in kinds:
        raise Misuse(f"{what} {expression!r} means several columns; give one at a time")
    return tree, str(tree.get("alias", ""))


def _too_deep(expression: str, what: str) -> str:
    return f"{what} {expression[:40]}... is too long: {len(expression):,} characters; give one of fewer operations"


def _kinds(tree: Any) -> tuple[set[str], int]:
    """Return the classes of all nodes of a syntax tree, and by how many levels its parts are nested."""
    kinds, deepest, waiting = set(), 0, [(tree, 1)]
    while waiting:
        part, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(part, dict):
            kinds.add(str(part.get("class", "")))
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(one, depth + 1) for one in inner]
    return kinds, deepest


def text_of(tree: Any) -> str:
    """Return the SQL text of a syntax tree of `parsed`."""
    with _connection() as connection:
        query = f"select x from {TABLE}"
        text = connection.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0]
        whole = json.loads(text)
        whole["statements"][0]["node"]["select_list"] = [{**tree, "alias": ""}]
        back = connection.execute("select json_deserialize_sql(?)", [json.dumps(whole)]).fetchall()[0][0]
    return str(back).removeprefix("SELECT ").rpartition(" FROM ")[0]
