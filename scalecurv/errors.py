"""What can go wrong that is no bug: the request, one checkpoint, the disk under the store."""


class Misuse(ValueError):
    """The request cannot be carried out: one line that says what came, what was wanted and what to do.

    Found before any checkpoint was analysed; the command line exits with 2.
    """


class NothingFound(Misuse):
    """There is no checkpoint where one was looked for: wrong, unless a training run is still to write it."""


class StoreError(OSError):
    """The store cannot be written (full disk, lost mount): what is in it stays, the command line exits with 1."""


class ClusterError(RuntimeError):
    """The cluster lost what workers need, in the middle: what is stored stays, the command line exits with 1."""


class CheckpointError(ValueError):
    """One checkpoint cannot be analysed; the others can.

    Recorded as a failed checkpoint, never retried; the command line exits with 1 once the rest is done.
    """
