"""What can go wrong that is no bug: the request, one checkpoint, the disk under the store."""


class Misuse(ValueError):
    """The request cannot be carried out: one line that says what came, what was wanted and what to do.

    Found before any checkpoint was analysed; the command line exits with 2.
    """


class StoreError(OSError):
    """The store cannot be written (full disk, lost mount): what is in it stays, the command line exits with 1."""


class CheckpointError(ValueError):
    """One checkpoint cannot be analysed; the others can.

    Recorded as a failed checkpoint, never retried; the command line exits with 1 once the rest is done.
    """
