"""User code, given by its name pkg.mod:name: models, losses and data that files cannot hold."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalecurv.display import kind_of, with_article
from scalecurv.errors import Misuse, is_memory, kind_and_line
from scalecurv.source import identity_in


def names_code(text: str) -> bool:
    """Return True where `text` has the form pkg.mod:name."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def name_of(option: str, given: Any) -> str | None:
    """Return the name of user code, pkg.mod:name, for the function itself; names and None stay.

    Raises Misuse where workers cannot import it: a function of a notebook is in no file.
    """
    if given is None or isinstance(given, str):
        return given
    module, name = getattr(given, "__module__", "__main__"), getattr(given, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not given:
        last = name.rpartition(".")[2]
        called = last if last.isidentifier() else "function"
        form = "at its top level" if name or option == "loss" else "as what a function returns"
        raise Misuse(
            f"{option} is {name or f'of type {type(given).__name__}'}, which workers cannot import; write it to a "
            f"file such as mine.py, {form}, and give {option}='mine:{called}'"
        )
    return f"{module}:{name}"


def search_here() -> None:
    """Have modules of the current directory found, as `python -m` does."""
    if "" not in sys.path and "." not in sys.path:
        sys.path.append("")


def resolve(option: str, code: str, what: str) -> Callable[..., Any]:
    """Return the callable that `code`, pkg.mod:name, names, from the installed packages or the current directory.

    `option` is the command-line option that it was given to and `what` the thing wanted (factory, function); both are
    quoted in the message. Raises Misuse where it cannot be imported or is not callable.
    """
    if not names_code(code):
        raise Misuse(f"{option} {code!r} is not of the form pkg.mod:{what}")
    module, _, name = code.partition(":")
    search_here()
    try:
        found = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: malformed names
        if isinstance(error, AttributeError) and error.name == name and error.obj is sys.modules.get(module):
            raise Misuse(
                f"{option} {code}: module {module} has no {name}; name a {what.lower()} that it defines"
            ) from error
        raise Misuse(f"{option} {code} cannot be imported ({error}); is its directory on PYTHONPATH?") from error
    except BaseException as error:  # user code may raise anything, and its message is what helps
        if is_memory(error):
            raise
        raise Misuse(f"{option} {code}: importing {module} raised {kind_and_line(error)}") from error
    if not callable(found):
        raise Misuse(f"{option} {code} is {kind_of(found)}; name a function or class, {with_article(what)}")
    return found


def call(option: str, code: str, what: str, *arguments: Any) -> Any:
    """Return what the user code `code` returns for these arguments; raises Misuse with its message where it raises."""
    make = resolve(option, code, what)
    try:
        return make(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # user code may raise anything, and its message is what helps
        if is_memory(error):  # not a fault of the code: the attempt is repeated
            raise
        given = f"with ({', '.join(map(repr, arguments))})" if arguments else "without arguments"
        raise Misuse(f"{option} {code} raised {kind_and_line(error)}; it must work {given}") from error


def source_of(option: str, code: str, what: str) -> str:
    """Return the identity of the source of user code as a sha256, "" where there is no source file.

    It covers the definition of the name in its module and whatever that refers to in the same file, see `identity_in`;
    and the definition in another file where that is where the callable comes from (it is decorated, or imported).
    """
    found = resolve(option, code, what)
    module, _, name = code.partition(":")
    defined = inspect.unwrap(getattr(found, "func", found))  # within functools.partial
    kind = defined if inspect.isroutine(defined) or isinstance(defined, type) else type(defined)
    home, other = _file_of(sys.modules[module]), _file_of(kind)
    parts = [] if home is None else [identity_in(home.read_bytes(), name, module)]
    if other is not None and other != home:
        outer = kind.__qualname__ if "<locals>" in kind.__qualname__ else kind.__qualname__.partition(".")[0]
        parts.append(identity_in(other.read_bytes(), outer, kind.__module__))
    return hashlib.sha256("".join(parts).encode()).hexdigest() if parts else ""


def _file_of(code: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(code)
    except TypeError:  # built in
        return None
    return Path(file) if file and Path(file).is_file() else None
