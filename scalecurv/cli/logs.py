"""The log of a command on stderr: how much of it -v and -q let through, and the bars in its place on a terminal."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from scalecurv.display import printable

if TYPE_CHECKING:
    from scalecurv.store.running import Running

PACKAGE = "scalecurv"  # the logger above those of all modules
PROGRESS = "scalecurv.sweeps.progress"  # the logger of the lines that bars replace
notes = logging.getLogger("scalecurv.cli")


class _Lines(logging.Handler):
    """A handler that prints to the stderr of now, which tests and pipes may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable(self.format(record)), err=True)


class _Stamped(logging.Formatter):
    """A format with the time for what happens meanwhile; notes and errors, which close a run, stand alone."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text if record.levelno >= logging.WARNING else f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')} {text}"


@contextmanager
def log_to_stderr(verbosity: int) -> Iterator[None]:
    """Print the package's log to stderr: errors alone below 0, details of each checkpoint above 0.

    On a terminal bars take the place of the lines of progress where `verbosity` is 0.
    """
    logger, handler = logging.getLogger(PACKAGE), _Lines()
    handler.setFormatter(_Stamped())
    if has_bar(verbosity):
        handler.addFilter(lambda record: record.name != PROGRESS)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbosity > 0 else logging.ERROR if verbosity < 0 else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def has_bar(verbosity: int) -> bool:
    """Return True where bars show the progress: on a terminal that can move its cursor, and without -v or -q."""
    return verbosity == 0 and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def bars(verbosity: int) -> Iterator[Callable[["Running"], object] | None]:
    """Yield a function that draws what a sweep does as bars; None where there are none, as the log has lines."""
    if not has_bar(verbosity):
        yield None
        return
    from scalecurv.watch.live import bars as drawn

    with drawn() as show:
        yield show
