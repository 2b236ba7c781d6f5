"""Values that are computed once and remembered by what they belong to: a problem, or an evaluation of one."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Remembers(Protocol):
    """An object with a `cache` that lives as long as the object does."""

    cache: dict[Any, Any]


Owner = TypeVar("Owner", bound=Remembers)


def remembered(function: Callable[Concatenate[Owner, P], T]) -> Callable[Concatenate[Owner, P], T]:
    """Return `function(owner, *arguments)` with a cache: a second call with equal arguments costs nothing.

    The value is filed in `owner.cache` under the function and its arguments, which must be hashable and determine
    the value together with the owner. Nothing is filed where the function raises.

    Example:
        >>> class Point:
        ...     def __init__(self):
        ...         self.cache = {}
        >>> @remembered
        ... def square(point, x):
        ...     print("computed")
        ...     return x * x
        >>> here = Point()
        >>> square(here, 3), square(here, 3)
        computed
        (9, 9)
    """

    parameters = signature(function)

    @wraps(function)
    def recalled(owner: Owner, *arguments: P.args, **options: P.kwargs) -> T:
        bound = parameters.bind(owner, *arguments, **options)
        bound.apply_defaults()  # however an argument is given, it is the same one
        key = (function, *bound.args[1:], *sorted(bound.kwargs.items()))
        if key not in owner.cache:
            owner.cache[key] = function(owner, *arguments, **options)
        return owner.cache[key]

    return recalled


def forget(function: Callable[..., object], owner: Remembers, *arguments: object) -> None:
    """Free what a remembered function returned for these arguments, in order: another call computes it again."""
    owner.cache.pop((getattr(function, "__wrapped__", function), *arguments), None)
