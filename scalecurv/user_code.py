"""Code of the user's own, by the name pkg.mod:name: models, losses and data that files cannot hold."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalecurv.errors import Misuse, first_line, is_memory


def is_named(text: str) -> bool:
    """Whether `text` has the form pkg.mod:name, so that it may name code."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def resolve(option: str, named: str, what: str) -> Callable[..., Any]:
    """The callable that pkg.mod:name names, imported from the installed packages or the current directory.

    `option` is what it was given to and `what` the thing wanted, for the words of Misuse where there is none.
    """
    if not is_named(named):
        raise Misuse(f"{option} {named!r} is not of the form pkg.mod:{what}")
    module, _, name = named.partition(":")
    if "" not in sys.path and "." not in sys.path:
        sys.path.append("")  # as `python -m` would: the user's own module beside the command
    try:
        found = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two: names that are no names
        raise Misuse(f"{option} {named} cannot be imported ({error}); is its directory on PYTHONPATH?") from error
    except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
        if is_memory(error):
            raise
        raise Misuse(
            f"{option} {named}: importing {module} raised {type(error).__name__}: {first_line(error)}"
        ) from error
    if not callable(found):
        raise Misuse(f"{option} {named} is a {type(found).__name__}; name a function or class, a {what}")
    return found


def called(option: str, named: str, what: str, *arguments: Any) -> Any:
    """What the named code returns for these arguments; raises Misuse with its own words where it raises."""
    make = resolve(option, named, what)
    try:
        return make(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's own code: whatever it raises, its line is what helps
        if is_memory(error):  # says nothing of the code: an attempt, to be made again
            raise
        given = f"with ({', '.join(map(repr, arguments))})" if arguments else "without arguments"
        raise Misuse(
            f"{option} {named} raised {type(error).__name__}: {first_line(error)}; it must work {given}"
        ) from error


def source_of(option: str, named: str, what: str) -> str:
    """sha256 of the source that the named code rests in, "" where it has none: edited, it is another.

    The file of the module that was named, and of the definition where that is elsewhere: decorated, or imported there.
    """
    found = resolve(option, named, what)
    defined = inspect.unwrap(getattr(found, "func", found))  # within functools.partial
    kind = defined if inspect.isroutine(defined) or isinstance(defined, type) else type(defined)
    files = (_file_of(sys.modules[named.partition(":")[0]]), _file_of(kind))
    content = b"".join(file.read_bytes() for file in dict.fromkeys(files) if file is not None)
    return hashlib.sha256(content).hexdigest() if content else ""


def _file_of(code: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(code)
    except TypeError:  # built in
        return None
    return Path(file) if file and Path(file).is_file() else None
