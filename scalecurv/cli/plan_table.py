"""The plan of a checkpoint as a table of text: the route of each quantity, and the most that it costs."""

from collections.abc import Iterator, Sequence

from scalecurv.measures.plan import Planned

HEAD = ("quantity", "route", "why", "products", "gradients", "MB")
WIDEST = 32  # of the column of quantities; the rest of a longer list is counted


def table(plan: Sequence[Planned], seconds: float) -> Iterator[str]:
    """Yield a line for each row of the plan, and the most that all of them cost, where a gradient takes `seconds`."""
    rows = [HEAD, *(_cells(row) for row in plan)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join(words + numbers)
    known = sum(row.gradients for row in plan if row.gradients is not None)
    apart = [", ".join(row.quantities) for row in plan if row.gradients is None]
    left_out = f"; {', '.join(apart)} apart" if apart else ""
    yield f"at most {known:,.0f} gradients a checkpoint, {known * seconds:,.3g} s at {seconds:.3g} s each{left_out}"


def _cells(row: Planned) -> tuple[str, ...]:
    names, price = _shortened(row.quantities), "-" if row.gradients is None else f"{row.gradients:,.1f}"
    return (names, row.route, row.why, f"{row.products:,}", price, f"{row.bytes / 1e6:,.0f}")


def _shortened(names: Sequence[str]) -> str:
    """Return the names up to the width of the column, and how many more there are."""
    for shown in range(len(names), 0, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        text = ", ".join(names[:shown]) + more
        if len(text) <= WIDEST or shown == 1:
            return text
    return ""
