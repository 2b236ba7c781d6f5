"""The engine that "auto" stands for: work begins in this process where Ray's start may take longer than it saves."""

from dataclasses import dataclass

# an embedded Ray with its workers, from start to end: 13.6 s for three tiny checkpoints that take 2.6 s in series
RAY_START = 11.0
WARM_UP = 5.0  # seconds, at most, by which the first checkpoint in a process takes longer: imports, first calls
FEW_PRODUCTS = 50  # Hessian products at a checkpoint that hardly any request stays below


@dataclass(frozen=True)
class Choice:
    """An engine, "serial" or "ray", and the reason for it; `may_change` where Ray may take over later."""

    engine: str
    reason: str
    may_change: bool = False


def ray_pays(seconds: float, workers: int) -> bool:
    """Return True where `workers` save more of `seconds` of work in series than Ray's start takes.

    Example:
        >>> [ray_pays(20.0, workers) for workers in (1, 2, 8)]
        [False, False, True]
    """
    return seconds * (1 - 1 / max(workers, 1)) > RAY_START


def seconds_left(seconds: float, done: int, left: int) -> float:
    """Return the seconds in series of the `left` checkpoints, where the `done` ones took `seconds` with the warm-up.

    Example:
        >>> seconds_left(25.0, done=10, left=5)
        10.0
    """
    return max(seconds - WARM_UP, 0.0) / done * left
