"""The list of the arrays in a source, for messages; names are cut and escaped."""

from collections.abc import Mapping
from typing import Any

from scalecurv.data.stored import UNREADABLE, Stored
from scalecurv.display import shown
from scalecurv.errors import Misuse

MOST = 8  # arrays that a message names


def holdings(arrays: Mapping[str, Any]) -> str:
    """Return the names of arrays with dtype and shape, as "X float32 (4, 3), Y int64 (4,)"; "no arrays" for none.

    Example:
        >>> import numpy as np
        >>> holdings({"X": lambda: Stored.of(np.zeros((4, 3))), "test": {"X": None}})
        'X float64 (4, 3), test/X'
    """
    named = list(_named(arrays, ""))
    words = [f"{shown(name)}{_form(held)}" for name, held in named[:MOST]]
    return ", ".join([*words, *([f"and {len(named) - MOST} more"] if len(named) > MOST else [])]) or "no arrays"


def _named(part: Any, prefix: str) -> Any:
    pairs = part.items() if isinstance(part, Mapping) else enumerate(part)
    for name, held in pairs:
        if isinstance(held, Mapping | tuple | list):
            yield from _named(held, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", held


def _form(held: Any) -> str:
    try:
        stored: Stored = held()
    except (*UNREADABLE, Misuse):  # what is no array of numbers is named alone
        return ""
    return f" {stored.dtype} {stored.shape}"
