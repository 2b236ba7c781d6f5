"""The log of a command on stderr: how much of it -v and -q let through, and the bar that replaces it on a terminal."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from scalecurv.display import printable

PACKAGE = "scalecurv"  # the logger above those of all modules
PROGRESS = "scalecurv.sweeps.progress"  # the logger of the lines that a bar replaces
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

    On a terminal a bar takes the place of the lines of progress where `verbosity` is 0.
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
    """Return True where a bar shows the progress."""
    return verbosity == 0 and sys.stderr.isatty()


@contextmanager
def bar(length: int, verbosity: int) -> Iterator[Callable[[Any], None]]:
    """Yield a function to call after each checkpoint: it moves a bar, where there is one."""
    if not has_bar(verbosity):
        yield lambda outcome: None
        return
    with click.progressbar(length=length, label="checkpoints", show_pos=True, file=sys.stderr) as shown:
        shown.render_progress()
        yield lambda outcome: shown.update(1)
