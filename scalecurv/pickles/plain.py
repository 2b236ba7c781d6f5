"""Containers, numbers, text and paths of the standard library, made from what a pickle gives for them."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from scalecurv.pickles.machine import Maker
from scalecurv.pickles.placeholder import Attributes, Budget, Global, Placeholder, hashable

_NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")
_LATIN = ("latin1", "latin-1", "iso-8859-1")


def plain_makers(budget: Budget) -> dict[str, Maker]:
    """Return the makers by the names that pickles use; each charges what it copies to `budget`."""
    makers: dict[str, Callable[[Budget, tuple[Any, ...]], Any]] = {
        "collections.OrderedDict": partial(_mapping, OrderedDict),
        "collections.Counter": partial(_mapping, dict),
        "collections.defaultdict": lambda budget, arguments: {} if len(arguments) <= 1 else NotImplemented,
        "collections.deque": _deque,
        "builtins.set": partial(_set, set),
        "builtins.frozenset": partial(_set, frozenset),
        "builtins.complex": _complex,
        "builtins.bytearray": _bytes,
        "builtins.bytes": _bytes,
        "_codecs.encode": _bytes,
        **dict.fromkeys(_NAMESPACES, _attributes),
        "copyreg._reconstructor": _reconstructed,
        **{f"pathlib.{kind}": partial(_path, PurePosixPath) for kind in ("PosixPath", "PurePosixPath", "Path")},
        **{f"pathlib.{kind}": partial(_path, PureWindowsPath) for kind in ("WindowsPath", "PureWindowsPath")},
    }
    return {name: partial(maker, budget) for name, maker in makers.items()}


def _mapping(kind: type, budget: Budget, arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case ():
            return kind()
        case (dict() as entries,):
            budget.spend(128 * len(entries))
            return kind(entries)
        case (list() as pairs,) if all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            budget.spend(128 * len(pairs))
            return kind((hashable(budget, key), value) for key, value in pairs)
    return NotImplemented


def _deque(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    if not arguments:
        return []
    if type(arguments[0]) not in (list, tuple):
        return NotImplemented
    budget.spend(8 * len(arguments[0]))
    return list(arguments[0])


def _set(kind: type, budget: Budget, arguments: tuple[Any, ...]) -> Any:
    if not arguments:
        return kind()
    if len(arguments) != 1 or type(arguments[0]) not in (list, tuple):
        return NotImplemented
    budget.spend(128 * len(arguments[0]))
    return kind(hashable(budget, item) for item in arguments[0])


def _complex(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 2 or not all(type(part) is float for part in arguments):
        return NotImplemented
    return complex(*arguments)


def _bytes(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return bytes: as they are, or text whose characters stand for them, as older protocols write them."""
    match arguments:
        case ():
            return b""
        case (bytes() as content,):
            return content
        case (str() as text, str() as encoding) if encoding in _LATIN:
            budget.spend(len(text))
            return text.encode("latin-1")
    return NotImplemented


def _attributes(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    return NotImplemented if arguments else Attributes()


def _reconstructed(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return a placeholder of (class, the built-in that it rests on, its content), as protocols 0 and 1 make one."""
    if len(arguments) != 3 or type(arguments[0]) is not Global:
        return NotImplemented
    if arguments[0].name in _NAMESPACES:
        return Attributes()
    made = Placeholder(arguments[0].name, arguments[1:])
    if type(arguments[2]) is dict:
        made.entries = arguments[2]
    return made


def _path(kind: type[PurePosixPath | PureWindowsPath], budget: Budget, arguments: tuple[Any, ...]) -> Any:
    if not all(type(part) is str for part in arguments):
        return NotImplemented
    budget.spend(sum(map(len, arguments)))
    return str(kind(*arguments))
