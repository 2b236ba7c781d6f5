"""The picture of a store that is drawn again and again, and the bars of a sweep of this process."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from rich.console import Console, Group
from rich.live import Live

from scalecurv.errors import Misuse
from scalecurv.quantities import NAMES
from scalecurv.store.running import Running, running_sweeps
from scalecurv.watch.frame import Size, frame_of
from scalecurv.watch.stages import sweep_lines
from scalecurv.watch.tail import Tail

QUANTITIES = ("loss", "trace", "lambda_max", "scalar_curvature", "rank")  # where none is chosen
PIPE = 100  # columns where nothing says how wide the output is
BUSY = 10.0  # times what a look takes, before the next: a large store on a slow disk is looked at less often
FLICKER = 1.0  # seconds that a checkpoint takes before it has a bar


def watch(
    store: Path,
    quantities: Sequence[str] = (),
    once: bool = False,
    interval: float = 2.0,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Draw what a store holds and what is computed for it, until Ctrl-C; once where `once`, or where no terminal is.

    It takes no lock and writes nothing. A store that is not there yet is waited for. Raises Misuse for a folder that is
    no store, and for a quantity that neither this package nor the store knows.
    """
    console = console or _console(sys.stdout)
    tail = Tail(store, tuple(quantities) or QUANTITIES)
    unknown = [name for name in quantities if name not in NAMES]

    def frame() -> Group:
        seen = tail.look()
        if seen is not None and not seen.checkpoints.empty:
            stored = set(seen.estimates["quantity"])
            if wrong := [name for name in unknown if name not in stored]:
                raise Misuse(
                    f'{store} holds no quantity {wrong[0]}; `scalecurv query {store} "select name from quantities"` '
                    f"lists those that it may hold"
                )
        sweeps = running_sweeps(store) if store.is_dir() else []
        size = Size(console.width, console.height if console.is_terminal and not once else None)
        return frame_of(store, seen, sweeps, tuple(quantities) or QUANTITIES, size)

    if once or not console.is_terminal:
        _print_once(console, frame())
        return
    began = time.monotonic()
    with Live(frame(), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            sleep(max(interval, BUSY * (time.monotonic() - began)))
            began = time.monotonic()
            live.update(frame(), refresh=True)


@contextmanager
def bars(stream: IO[str] | None = None) -> Iterator[Callable[[Running], None]]:
    """Yield a function that draws what a sweep does as bars on stderr: all its checkpoints, and those under way.

    What others print meanwhile appears above the bars.
    """
    console = _console(stream or sys.stderr)
    ours = sys.stdout.isatty()  # a pipe on stdout keeps what is printed there
    with Live(console=console, auto_refresh=False, redirect_stdout=ours, redirect_stderr=True) as live:

        def show(running: Running) -> None:
            slow = tuple(stage for stage in running.stages if stage.seconds >= FLICKER)
            lines = sweep_lines(replace(running, stages=slow), console.width)
            live.update(Group(*lines), refresh=True)

        yield show


def _print_once(console: Console, frame: Group) -> None:
    """Print a frame; without a terminal its lines end where their text does."""
    if console.is_terminal:
        console.print(frame)
        return
    with console.capture() as captured:
        console.print(frame)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    console.file.write("\n".join(lines) + "\n")


def _console(stream: IO[str]) -> Console:
    """Return a console that marks up nothing by itself: names and numbers of users stay as they are."""
    plain = not stream.isatty()
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=PIPE if plain else None)
