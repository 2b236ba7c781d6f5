"""The pictures of a store: the functions of `scalecurv.plot`, each with the store as its first argument."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import scalecurv.plot

OWN_ARGUMENT = "save"  # takes the axes that the others return, and no source of numbers


class Pictures:
    """The functions of `scalecurv.plot`, bound to a store: `pictures.trajectories("trace")` draws it.

    Their signatures lack the argument `source`. Neither this object nor its list of names loads Matplotlib.

    Example:
        >>> import tempfile, scalecurv as sc
        >>> "trajectories" in dir(sc.open_store(tempfile.mkdtemp()).plot)
        True
    """

    def __init__(self, source: Any):
        self._source = source

    def __dir__(self) -> list[str]:
        return [name for name in scalecurv.plot.__all__ if name != OWN_ARGUMENT]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in dir(self):
            raise AttributeError(f"a store has no picture {name!r}; it draws {', '.join(dir(self))}")
        return bound(getattr(scalecurv.plot, name), self._source)

    def __repr__(self) -> str:
        return f"<the pictures of {self._source}: {', '.join(dir(self))}>"


def bound(function: Callable[..., Any], source: Any) -> Callable[..., Any]:
    """Return a function with its first argument given, with its docstring and the rest of its signature."""

    @wraps(function)
    def drawn(*arguments: Any, **options: Any) -> Any:
        return function(source, *arguments, **options)

    signature = inspect.signature(function)
    rest = list(signature.parameters.values())[1:]
    drawn.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return drawn
