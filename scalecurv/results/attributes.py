"""The attributes of training runs (learning rate, width) as columns."""

import json
from collections.abc import Collection
from typing import Any

import pandas as pd

from scalecurv.display import encodable
from scalecurv.errors import Misuse

PREFIX = "run_"
LARGEST = 2**63  # integers of this size and above are stored as floats


def attribute_columns(runs: pd.DataFrame, taken: Collection[str]) -> pd.DataFrame:
    """Return the attributes of each run, with runs as index and a column for each name of an attribute.

    Numbers stay numbers, truth values stay truth values, and a column of several kinds is text. An attribute whose
    name is `taken` gets `run_` before it. Names that differ by case alone are one column, as SQL does not tell them
    apart. Raises Misuse where a run's attributes are no JSON object.
    """
    ordered = runs.sort_values("run")
    found = [_read(run, text) for run, text in zip(ordered["run"], ordered["attributes"], strict=True)]
    names: dict[str, str] = {}
    for attributes in found:
        for name, value in attributes.items():
            if value is not None:
                names.setdefault(name.lower(), name)
    by_name = [{name.lower(): value for name, value in attributes.items()} for attributes in found]
    used = {name.lower() for name in taken}
    columns: dict[str, pd.Series] = {}
    for lower, name in names.items():
        while name.lower() in used:
            name = PREFIX + name
        used.add(name.lower())
        columns[name] = _column([attributes.get(lower) for attributes in by_name])
    return pd.DataFrame(columns, index=range(len(found))).set_axis(ordered["run"].astype(object), axis="index")


def _read(run: str, text: str) -> dict[str, Any]:
    try:
        attributes = json.loads(text)
    except ValueError:
        attributes = None
    if not isinstance(attributes, dict):
        raise Misuse(f"the attributes of run {run} are no JSON object; `scalecurv verify STORE` names the file")
    return {encodable(name): encodable(one) if isinstance(one, str) else one for name, one in attributes.items()}


def _column(values: list[Any]) -> pd.Series:
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int} and all(abs(value) < LARGEST for value in there):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pd.Series(texts, dtype=object)
