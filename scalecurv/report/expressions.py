"""Expressions of a report: SQL over `results` with the intervals that follow from those of its quantities."""

from collections.abc import Sequence
from typing import Any

from scalecurv.plot.expressions import numbers
from scalecurv.plot.selection import Selection, attributes_in
from scalecurv.quantities import NAMES
from scalecurv.report.packing import Blobs

# names that people give to the learning rate; gradient descent is stable while eta lambda_max / 2 <= 1
LEARNING_RATES = ("lr", "learning_rate", "eta", "step_size")


def packed_expressions(selection: Selection, expressions: Sequence[str], blobs: Blobs) -> list[dict[str, Any]]:
    """Return the values, intervals and statuses of each expression, those that were asked for first.

    Where runs have a learning rate and lambda_max, sharpness in units of the edge of stability is among them. Raises
    Misuse for an expression that does not run or has no numbers.
    """
    found = []
    for text in dict.fromkeys([*expressions, *_edge(selection)]):
        one = numbers(selection, text)
        columns = {name: blobs.floats(getattr(one, name)) for name in ("value", "lower", "upper")}
        found.append(
            {"name": text, "asked": text in expressions, "note": one.note, **columns}
            | {"status": blobs.words(one.status.tolist()), "quantity": one.name if one.name in NAMES else ""}
        )
    return found


def _edge(selection: Selection) -> list[str]:
    """Return eta lambda_max / 2 (Cohen et al. 2021) by the name of the learning rate, where both are known."""
    rates = [name for name in attributes_in(selection.rows) if name.lower() in LEARNING_RATES]
    known = selection.rows["lambda_max"].notna().any()
    numeric = [name for name in rates if selection.rows[name].dtype.kind in "fi" and selection.rows[name].notna().any()]
    return [f"lambda_max * {name} / 2" for name in numeric[:1]] if known else []
