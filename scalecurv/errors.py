"""The two things that can be wrong with what a user hands in: the request, or one file."""


class Misuse(ValueError):
    """The request cannot be carried out: one line that says what came, what was wanted and what to do.

    Found before any checkpoint was analysed; the command line exits with 2.
    """


class CheckpointError(ValueError):
    """One checkpoint cannot be analysed; the others can.

    Recorded as a failed checkpoint, never retried; the command line exits with 1 once the rest is done.
    """
