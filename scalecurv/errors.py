"""Errors that are no bugs (the request, a checkpoint, the disk, the cluster), and the exit codes of commands."""

FAILED, MISUSE, BUG, INTERRUPTED = 1, 2, 3, 130  # exit codes of every command; 0 is done

LONGEST = 240  # characters of somebody else's line


def first_line(error: BaseException) -> str:
    """The first line that says something, cut to a length that can be read."""
    try:
        text = str(error)
    except Exception:  # an error of the user's own, whose words raise in turn
        text = ""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whatever way torch says so: an attempt, to be made again."""
    return isinstance(error, MemoryError) or "can't allocate memory" in first_line(error)


class Misuse(ValueError):
    """The request cannot be carried out: one line that says what came, what was wanted and what to do.

    Found before any checkpoint was analysed.
    """

    exit_code = MISUSE


class NothingFound(Misuse):
    """There is no checkpoint where one was looked for: wrong, unless a training run is still to write it."""


class StoreError(OSError):
    """The store cannot be written (full disk, lost mount); what is in it stays."""

    exit_code = FAILED


class ClusterError(RuntimeError):
    """The cluster lost what workers need, in the middle; what is stored stays."""

    exit_code = FAILED


class CheckpointError(ValueError):
    """One checkpoint cannot be analysed; the others can.

    Recorded as a failed checkpoint and never retried; the rest is done before the command ends.
    """

    exit_code = FAILED
