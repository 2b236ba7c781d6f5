"""Errors that are no bugs (the request, a checkpoint, the disk, the cluster), and the exit codes of commands."""

from collections.abc import Mapping
from types import MappingProxyType

FAILED, MISUSE, BUG, INTERRUPTED = 1, 2, 3, 130  # exit codes of every command; 0 is done

LONGEST = 240  # characters of a message that another program wrote
NO_MESSAGE = "no message"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, cut to `LONGEST` characters."""
    try:
        text = str(error)
    except Exception:  # an error class of the user's own, whose __str__ raises
        text = ""
    line = next((line.strip() for line in text.splitlines() if line.strip()), NO_MESSAGE)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def kind_and_line(error: BaseException) -> str:
    """Return the error's class name and the first line of its message: "KeyError: 'a'", or "EOFError" without one."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == NO_MESSAGE else f"{kind}: {line}"


def is_memory(error: BaseException) -> bool:
    """Return True where memory ran out, however torch reports it: such an attempt is repeated."""
    return isinstance(error, MemoryError) or "can't allocate memory" in first_line(error)


class Misuse(ValueError):
    """A request that cannot be carried out, found before any checkpoint is analysed wherever that is possible.

    Its message is one line that says what came, what was wanted and what to do.

    Example:
        >>> import scalecurv as sc
        >>> try:
        ...     sc.Problem.quadratic()
        ... except sc.Misuse as error:
        ...     print(error)
        eigenvalues are (); give one or more finite numbers
    """

    exit_code = MISUSE


class MissingOptions(Misuse):
    """Options that the problem needs and that nothing gives; `examples` has a value that would do for each, by name."""

    def __init__(self, message: str, examples: Mapping[str, str] = MappingProxyType({})):
        super().__init__(message)
        self.examples = dict(examples)


class NothingFound(Misuse):
    """A place without checkpoints: an error, unless a training run is still to write the first one.

    Example:
        >>> import tempfile, scalecurv as sc
        >>> folder = tempfile.mkdtemp()
        >>> try:
        ...     sc.sweep(folder, f"{folder}/store")
        ... except sc.NothingFound as error:
        ...     print(str(error).startswith("no checkpoint"))
        True
    """


class StoreError(OSError):
    """A store that cannot be written (full disk, lost mount); its content stays.

    Example:
        >>> import scalecurv as sc
        >>> issubclass(sc.StoreError, OSError), sc.StoreError.exit_code  # of the command that meets one
        (True, 1)
    """

    exit_code = FAILED


class ClusterError(RuntimeError):
    """A cluster that lost, during a run, something that workers need; what is stored stays.

    Example:
        >>> import scalecurv as sc
        >>> issubclass(sc.ClusterError, RuntimeError), sc.ClusterError.exit_code  # of the command that meets one
        (True, 1)
    """

    exit_code = FAILED


class CheckpointError(ValueError):
    """A checkpoint that cannot be analysed, while others can.

    It is recorded as failed and not tried again in the same run; the command completes the others before it ends.

    Example:
        >>> import torch, scalecurv as sc
        >>> x = torch.full((2, 1), 1e30)  # numbers in float32, but their squares overflow
        >>> problem = sc.Problem(torch.nn.Linear(1, 1), (x, x), "mse")
        >>> try:
        ...     sc.trace(problem)
        ... except sc.CheckpointError as error:
        ...     print("inf" in str(error))
        True
    """

    exit_code = FAILED
