"""Sweeps that run as lines of a terminal: the bar over all checkpoints, and one for each that is under way."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scalecurv.display import printable
from scalecurv.record import Stage
from scalecurv.store.running import Running

MOST = 6  # checkpoints under way that are shown
WIDE = 60  # columns from which on there is room for bars
BAR = 10  # columns of a bar


def duration(seconds: float) -> str:
    """Return a duration in words that keep their width: "0:03:10".

    Example:
        >>> duration(190.4)
        '0:03:10'
    """
    return str(timedelta(seconds=round(max(seconds, 0.0))))


def sweep_lines(running: Running, width: int) -> list[RenderableType]:
    """Return the lines of a sweep on a terminal of `width` columns: all its checkpoints, then those under way."""
    lines: list[RenderableType] = [_overall(running, width)]
    by_time = sorted(running.stages, key=lambda stage: stage.seconds, reverse=True)
    if by_time:
        lines.append(stage_table(by_time[:MOST], width))
    if len(by_time) > MOST:
        lines.append(Text(f"  and {len(by_time) - MOST} more under way", style="dim"))
    return lines


def line_count(running: Running) -> int:
    """Return the number of lines of a sweep."""
    return 1 + min(len(running.stages), MOST) + (len(running.stages) > MOST)


def stage_table(stages: Iterable[Stage], width: int) -> Table:
    """Return a line for each checkpoint under way: its file, its measure, a bar, its products and its time."""
    table = _grid(width)
    for stage in stages:
        name = Text(printable(Path(stage.path).name, ""), no_wrap=True, overflow="ellipsis")
        bar = [_bar(stage.products, stage.expected) if stage.expected else Text()] if width >= WIDE else []
        said, since = (printable(stage.measure, "") or "reading", stage.progress), duration(stage.seconds)
        words = ", ".join(filter(None, (*said, since) if width >= WIDE else (since, *said)))  # the end may be cut
        table.add_row(name, *bar, Text(words, no_wrap=True, overflow="ellipsis"))
    return table


def _overall(running: Running, width: int) -> Table:
    table = _grid(width)
    table.add_row(
        Text("checkpoints", style="bold"),
        *([_bar(running.done, running.total)] if width >= WIDE else []),
        Text(", ".join(facts_of(running)), no_wrap=True, overflow="ellipsis"),
    )
    return table


def facts_of(running: Running) -> list[str]:
    """Return how far a sweep is, in words: what is done, the time left, and how fast it goes."""
    waits = running.follows and not running.stages and running.done == running.total
    facts = ["waits for checkpoints"] if waits else [f"{running.done}/{running.total}"]
    if not (waits or running.done or running.stages):
        facts.append("workers start")
    if running.failed:
        facts.append(f"{running.failed} failed")
    if running.left is not None:
        facts.append(f"{duration(running.left)} left")
    if running.done and running.seconds > 0 and not waits:
        facts.append(f"{60 * running.done / running.seconds:.3g}/min")
    if running.products_per_second >= 0.05 and not waits:
        facts.append(f"{running.products_per_second:,.3g} products/s")
    return facts


def _grid(width: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=min(2 * BAR, max(11, width // 6)), no_wrap=True, overflow="ellipsis")
    if width >= WIDE:
        table.add_column(width=BAR)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _bar(done: int, total: int) -> RenderableType:
    """Return a bar, which is full where more was done than expected."""
    return ProgressBar(total=max(total, 1), completed=min(done, total), width=BAR)
