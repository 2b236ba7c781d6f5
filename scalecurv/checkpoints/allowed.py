"""Classes that a pickle may name beyond plain data, because the user allows them one by one."""

import importlib
from collections.abc import Sequence
from typing import Any

from scalecurv.errors import Misuse

# modules whose callables run programs or code, fetch others that do, or write files: nobody may allow them
DENIED = frozenset((
    "os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "importlib", "runpy", "pty", "shutil",
    "ctypes", "code", "codeop", "pickle", "_pickle", "cloudpickle", "dill", "joblib", "functools", "operator", "types",
    "marshal", "multiprocessing", "socket", "webbrowser", "pdb", "bdb", "timeit", "pip", "asyncio", "inspect", "ast",
    "tempfile", "pkgutil", "zipimport", "threading", "signal", "io", "_io", "_pyio", "mmap", "zipfile", "tarfile",
    "gzip", "bz2", "_bz2", "lzma", "_lzma", "logging", "sqlite3", "_sqlite3", "dbm", "shelve", "fileinput", "urllib",
    "http", "ftplib", "smtplib", "imaplib", "poplib", "xmlrpc", "socketserver", "ssl", "concurrent", "_thread",
    "_socket", "_posixsubprocess", "_ctypes", "cffi", "cProfile", "profile", "trace", "unittest", "doctest", "venv",
    "ensurepip", "setuptools", "distutils",
))  # fmt: skip
# functions that pickles of NumPy scalars and arrays call
_FUNCTIONS = frozenset(
    f"{module}.{name}"
    for module in ("numpy._core.multiarray", "numpy.core.multiarray")
    for name in ("scalar", "_reconstruct")
)


def may_be_allowed(name: str) -> bool:
    """Return True where a message may advise to allow `name`: it is dotted and of no module that runs code."""
    return name.partition(".")[0] not in DENIED and "." in name


def allowed_globals(names: Sequence[str]) -> list[tuple[Any, str]]:
    """Return (object, its name) for each of `names`, as torch.serialization.safe_globals takes them.

    Raises Misuse for a name that is neither a class nor a function which pickles of NumPy arrays call, that cannot be
    imported, or that is of a module that runs code.
    """
    return [(_resolved(name), name) for name in names]


def _resolved(name: str) -> Any:
    module, _, leaf = name.rpartition(".")
    if not may_be_allowed(name):
        raise Misuse(f"--allow-global {name} could run anything; give a class of plain data, as argparse.Namespace")
    try:
        found = getattr(importlib.import_module(module), leaf)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misuse(f"--allow-global {name} cannot be imported ({error}); is its package installed?") from error
    if not isinstance(found, type) and name not in _FUNCTIONS:
        raise Misuse(f"--allow-global {name} is a {type(found).__name__}; give a class of plain data")
    if found.__module__.partition(".")[0] in DENIED:  # another module imported it from one of these
        raise Misuse(f"--allow-global {name} is {found.__module__}.{found.__qualname__}, which could run anything")
    return found
