"""The quantities of a store: those of this package, and those that measures of one's own have added to it."""

import pandas as pd

from scalecurv.quantities import BESIDE, COLUMNS, QUANTITIES, Quantity
from scalecurv.store.frames import Tables, plain

PARTS_OF_ESTIMATE = dict(zip(("", *BESIDE), ("value", "stderr", "lower", "upper"), strict=True))


def quantities_of(tables: Tables) -> tuple[Quantity, ...]:
    """Return the quantities that a store may hold: those of this package, then others by name.

    A name in `estimates` that nothing defines has neither meaning nor unit.
    """
    known = {quantity.name: quantity for quantity in QUANTITIES}
    for row in plain(tables["quantities"]).sort_values("quantity").itertuples():
        own = Quantity(row.quantity, row.meaning, bool(row.integer), bool(row.derived), row.unit, row.measure)
        known.setdefault(own.name, own)
    estimates = tables["estimates"]
    names, measures = estimates["quantity"].cat, estimates["measure"].cat
    first = estimates["quantity"].cat.codes.drop_duplicates()
    undefined = {
        names.categories[code]: measures.categories[measures.codes[row]].partition(" ")[0]  # a block follows it
        for row, code in first.items()
    }
    for name in sorted(undefined.keys() - known.keys()):
        known[name] = Quantity(name, "", measure=undefined[name])
    return tuple(known.values())


def columns_of(quantity: Quantity) -> list[str]:
    """Return the names of its columns in `results`.

    Example:
        >>> columns_of(QUANTITIES[0])
        ['loss', 'loss_stderr', 'loss_lower', 'loss_upper']
    """
    return [quantity.name + suffix for suffix in PARTS_OF_ESTIMATE]


def in_results(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
    """Return the quantities that are columns of `results`; one whose columns are taken is in `estimates` alone.

    `rank_lower` is the lower end of the interval of `rank`, also where a store holds a quantity of that name.
    """
    taken = {name.lower() for name in COLUMNS}
    found = []
    for quantity in quantities:
        names = {name.lower() for name in columns_of(quantity)}
        if not names & taken:
            found.append(quantity)
            taken |= names
    return tuple(found)


def quantity_table(quantities: tuple[Quantity, ...]) -> pd.DataFrame:
    """Return a row for each quantity: its name, meaning, unit and measure, and whether it is whole, or derived."""
    facts = [(q.name, q.meaning, q.unit, q.measure, q.integer, q.derived) for q in quantities]
    return pd.DataFrame(facts, columns=["name", "meaning", "unit", "measure", "integer", "derived"])
