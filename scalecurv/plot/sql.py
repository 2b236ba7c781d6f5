"""SQL over a frame, evaluated by DuckDB: conditions on rows, and expressions of their columns."""

import json
from functools import cache
from typing import Any

import duckdb
import pandas as pd

from scalecurv.errors import Misuse

TABLE = "results"  # the name that a frame has in a condition or an expression


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"python_enable_replacements": False})


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
    answer = json.loads(text)
    if answer["error"]:
        raise Misuse(f"{what} {expression!r} does not run: {' '.join(answer['error_message'].split())}")
    node = answer["statements"][0]["node"]
    if len(answer["statements"]) != 1 or len(node.get("select_list", ())) != 1:
        raise Misuse(f"{what} {expression!r} is not one expression; give one at a time")
    tree = node["select_list"][0]
    return tree, str(tree.get("alias", ""))


def text_of(tree: Any) -> str:
    """Return the SQL text of a syntax tree of `parsed`."""
    with _connection() as connection:
        query = f"select x from {TABLE}"
        text = connection.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0]
        whole = json.loads(text)
        whole["statements"][0]["node"]["select_list"] = [{**tree, "alias": ""}]
        back = connection.execute("select json_deserialize_sql(?)", [json.dumps(whole)]).fetchall()[0][0]
    return str(back).removeprefix("SELECT ").rpartition(" FROM ")[0]
