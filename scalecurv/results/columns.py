"""The words and the unit of each column of a table, for files that others read."""

from collections.abc import Iterable

from scalecurv.quantities import Quantity
from scalecurv.results.vocabulary import PARTS_OF_ESTIMATE
from scalecurv.store.meanings import meaning_of
from scalecurv.store.schema import TABLES

_PARTS = ("", "standard error of ", "lower end of the interval of ", "upper end of the interval of ")
_UNITS = {(table, column.name): column.units for table, columns in TABLES.items() for column in columns}
_STORED = {"results": "checkpoints", "long": "estimates"}  # tables that are made for readers
_RENAMED = {"checkpoint": "path", "name": "quantity"}
_CHAIN = "the chain of bounds at this checkpoint: holds, violated, undecided or not_applicable"


def described_columns(table: str, names: Iterable[str], quantities: Iterable[Quantity]) -> dict[str, dict[str, str]]:
    """Return for each column the attributes `long_name`, the words that define it, and `units`.

    Example:
        >>> from scalecurv.quantities import QUANTITIES
        >>> described_columns("results", ["trace_stderr"], QUANTITIES)
        {'trace_stderr': {'long_name': 'standard error of T = tr H, the trace of the Hessian', 'units': 'loss/theta^2'}}
        >>> described_columns("files", ["size"], QUANTITIES)
        {'size': {'long_name': 'size of the file', 'units': 'byte'}}
    """
    numbers = _numbers(quantities) if table == "results" else {}
    words = ((name, numbers.get(name) or _words(table, name)) for name in names)
    return {name: {"long_name": meaning, "units": units} for name, (meaning, units) in words}


def _numbers(quantities: Iterable[Quantity]) -> dict[str, tuple[str, str]]:
    return {
        quantity.name + suffix: (part + (quantity.meaning or quantity.name), quantity.unit)
        for quantity in quantities
        for suffix, part in zip(PARTS_OF_ESTIMATE, _PARTS, strict=True)
    }


def _words(table: str, name: str) -> tuple[str, str]:
    """Return the words and the unit of a column: of its own table, else of the checkpoint, else of the run."""
    stored = _RENAMED.get(name, name) if table != "arrays" else name
    for home in (_STORED.get(table, table), "checkpoints"):
        if (home, stored) in _UNITS:
            return meaning_of(home, stored), _UNITS[home, stored]
    if name == "chain_status":
        return _CHAIN, "1"
    return "attribute of the training run", "1"
