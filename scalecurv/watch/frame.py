"""One picture of a store on a terminal: what runs, its runs with the course of their numbers, and what failed."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from scalecurv.display import printable
from scalecurv.statistics.estimate import Status
from scalecurv.store.running import Life, Running
from scalecurv.watch.courses import Course, Run, runs_of
from scalecurv.watch.sparkline import is_logarithmic, sparkline
from scalecurv.watch.stages import WIDE, duration, line_count, sweep_lines
from scalecurv.watch.tail import Seen

FAILURES = 3  # that are shown, the newest
NARROWEST, LONGEST = 4, 40  # blocks of a sparkline
DOUBTFUL = (Status.BUDGET, Status.INCONSISTENT, Status.FAILED)  # statuses that a number is shown with
_CONFIDENCE = re.compile(r" \([0-9.]+ %\)$")
STYLES = {"ok": "green", "partial": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Size:
    """The columns and lines of a terminal; without a number of lines all is shown."""

    width: int
    height: int | None = None


def frame_of(
    store: Path,
    seen: Seen | None,
    sweeps: Sequence[Running],
    quantities: Sequence[str],
    size: Size,
    now: float | None = None,
) -> Group:
    """Return the picture of what was `seen` of a store, and of the `sweeps` that write to it.

    `now` is in seconds since 1970. Where a terminal is too low for all runs, those written to last are shown.
    """
    now = time.time() if now is None else now
    head = _head(store, seen)
    alive = [running for running in sweeps if running.life(now) is Life.RUNS]
    for running in alive:
        head += sweep_lines(running, size.width)
    notes = [_lost(running, now) for running in sweeps if running.life(now) is not Life.RUNS]
    if seen is not None and not alive and not notes:
        notes.append(_rest(seen, now))
    tail = _failures(seen) if seen is not None else []
    used = len(head) + sum(map(line_count, alive)) - len(alive)
    used += sum(_lines(text, size.width) for text in (*notes, *tail))
    blocks = [_block(run, size.width) for run in (runs_of(seen, quantities) if seen is not None else ())]
    shown = _fitting(blocks, None if size.height is None else size.height - used - 1)
    body: list[RenderableType] = [line for block in shown for line in block]
    if len(shown) < len(blocks):
        body.append(Text(f"and {len(blocks) - len(shown)} more run(s)", style="dim"))
    return Group(*head, *notes, *body, *tail)


def _head(store: Path, seen: Seen | None) -> list[RenderableType]:
    line = Text(printable(str(store), ""), style="bold", no_wrap=True, overflow="ellipsis")
    if seen is None:
        return [line, Text("is not there yet: `scalecurv analyze CHECKPOINTS STORE` makes it")]
    if seen.checkpoints.empty:
        return [line, Text("holds no checkpoint yet")]
    counts = _counts(seen.checkpoints["status"].value_counts().to_dict())
    return [line, Text.assemble(f"{len(seen.checkpoints)} checkpoint(s): ", counts)]


def _counts(counts: Mapping[str, int]) -> Text:
    """Return "4 ok, 1 failed" in colours."""
    return Text(", ").join(Text(f"{counts[s]} {s}", style=style) for s, style in STYLES.items() if s in counts)


def _lost(running: Running, now: float) -> Text:
    """Return what is known of a sweep that no longer tells what it does."""
    who, since = f"process {running.pid} on {printable(running.host, '')}", duration(now - running.written)
    if running.life(now) is Life.ENDED:
        return Text(
            f"the sweep of {who} ended {since} ago without a word, at {running.done}/{running.total}: it was killed; "
            f"run the same `scalecurv analyze` again, it goes on from there",
            style="red",
        )
    return Text(f"nothing was heard of the sweep of {who} for {since}: see whether it still runs", style="yellow")


def _rest(seen: Seen, now: float) -> Text:
    last = seen.last_stored
    if last is None:
        return Text("nothing is running")
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last))
    return Text(f"nothing is running; the last checkpoint was stored at {at}, {duration(now - last)} ago")


def _failures(seen: Seen) -> list[Text]:
    """Return the newest failures with their reasons, and the broken files."""
    failed = seen.checkpoints[seen.checkpoints["status"] == "failed"].sort_values("created", ascending=False)
    lines = [
        _red("failed: ", row.error if row.path in row.error else f"{row.path}: {row.error}")
        for row in failed.head(FAILURES).itertuples()
    ]
    if len(failed) > FAILURES:
        lines.append(Text(f"and {len(failed) - FAILURES} more failed: `scalecurv show STORE` has all", style="red"))
    return [*lines, *(_red("broken: ", reason) for reason in seen.broken.values())]


def _red(kind: str, reason: str) -> Text:
    return Text.assemble((kind, "red"), printable(reason, ""))


def _block(run: Run, width: int) -> list[RenderableType]:
    """Return the lines of one run: its name and counts, then a line for each quantity."""
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(printable(run.name, ""), style="bold cyan")
    head.append("  ").append_text(_counts(run.counts))
    head.append("" if run.step is None else f"  step {run.step:,}")
    longest = max((len(name) for name in run.courses), default=0)
    log = any(is_logarithmic(course.values) for course in run.courses.values())
    label = min(longest + (4 if log else 0), max(width // 3, 8))
    values = {name: _value(course, run.step, width >= WIDE) for name, course in run.courses.items()}
    room = width - label - max(map(len, values.values()), default=0) - 4
    room = min(LONGEST, room) if room >= NARROWEST else 0
    return [head, *(_line(name, course, values[name], label, room) for name, course in run.courses.items())]


def _line(name: str, course: Course, value: str, label: int, room: int) -> Text:
    log = " log" if room and is_logarithmic(course.values) else ""
    short = name if len(name) + len(log) <= label else name[: label - len(log) - 1] + "…"
    line = Text(f"  {short}", no_wrap=True, overflow="ellipsis")
    line.append(log.ljust(label - len(short)), style="dim")
    if room:
        line.append(" ")
        line.append(sparkline(course.values, room), style="cyan")
    line.append(f" {value}")
    return line


def _value(course: Course, last_step: int | None, wide: bool) -> str:
    """Return the last estimate with its interval, its status where that is a warning, its step where others follow.

    Where it is not `wide`, the confidence of the interval is left out.
    """
    words = [str(course.last) if wide else _CONFIDENCE.sub("", str(course.last))]
    if course.last.status in DOUBTFUL and str(course.last) != course.last.status:
        words.append(course.last.status.value)
    if course.step != last_step and course.step is not None:
        words.append(f"step {course.step:,}")
    return ", ".join(words)


def _fitting(blocks: list[list[RenderableType]], height: int | None) -> list[list[RenderableType]]:
    """Return the first blocks that fit, and the first of all in any case."""
    if height is None:
        return blocks
    shown: list[list[RenderableType]] = []
    for block in blocks:
        if shown and sum(map(len, shown)) + len(block) > height:
            break
        shown.append(block)
    return shown


def _lines(text: RenderableType, width: int) -> int:
    return -(-max(len(str(text)), 1) // width)
