"""Measures of one's own: classes named pkg.mod:Class, those that installed packages bring, and what both must have."""

import inspect
import re
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from scalecurv.display import kind_of
from scalecurv.errors import Misuse, is_memory, kind_and_line
from scalecurv.measures.measure import Measure
from scalecurv.quantities import BESIDE, BUILT_IN, COLUMNS, NAMES, PLUG_INS, Quantity
from scalecurv.user_code import resolve

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = frozenset((*COLUMNS, *NAMES, *(name + end for name in NAMES for end in BESIDE)))
_FORM = "a measure is a frozen dataclass that inherits from scalecurv.Measure"


def is_own(kind: type[Measure]) -> bool:
    """Return True where a measure does not come with this package."""
    return kind.__module__.partition(".")[0] != __name__.partition(".")[0]


def own_class(code: str) -> type[Measure]:
    """Return the measure that `code`, pkg.mod:Class, names.

    Raises Misuse where it cannot be imported, and where it is no measure.
    """
    return check_class(resolve("measure", code, "Class"), f"measure {code}")


def installed() -> dict[str, EntryPoint]:
    """Return the entry points by which installed packages bring measures, by name; none is loaded.

    Raises Misuse where two packages bring a measure of the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=PLUG_INS):
        if found.setdefault(entry.name, entry).value != entry.value:
            raise Misuse(
                f"two installed packages bring a measure {entry.name!r}: {_origin(found[entry.name])} and "
                f"{_origin(entry)}; uninstall one of them"
            )
    return found


def loaded(entry: EntryPoint) -> type[Measure]:
    """Return the measure of an entry point; raises Misuse as `own_class` does, and where its name is another one."""
    kind = check_class(
        resolve(f"measure {entry.name!r},", entry.value, "Class"), f"measure {entry.name!r}, {_origin(entry)},"
    )
    if kind.name != entry.name:
        raise Misuse(
            f"the entry point {entry.name!r}, {_origin(entry)}, names a measure {kind.name!r}; give both one name"
        )
    return kind


def _origin(entry: EntryPoint) -> str:
    return f"{entry.value} of {entry.dist.name}" if entry.dist else entry.value


def made(kind: type[Measure], options: dict[str, Any]) -> Measure:
    """Return the measure with those of `options` that it has a field for.

    Raises Misuse for options that the measure refuses, and for fields of a measure of one's own without a default.
    """
    taken = {field.name: options[field.name] for field in fields(kind) if field.name in options}
    if not is_own(kind):
        return kind(**taken)
    try:
        return kind(**taken)
    except (Misuse, KeyboardInterrupt):
        raise
    except BaseException as error:  # user code may raise anything, and its message is what helps
        if is_memory(error):
            raise
        raise Misuse(
            f"measure {kind.name} cannot be made with {taken}: {kind_and_line(error)}; every field needs a default"
        ) from error


def check_class(kind: Any, where: str) -> type[Measure]:
    """Return a class after the check that it is a whole measure; `where` opens the message. Raises Misuse.

    Names of a measure and of its quantities are lower case, as they become columns, and must not be those of a
    built-in measure or quantity. Built-in measures pass.
    """
    if not (isinstance(kind, type) and issubclass(kind, Measure)):
        what = f"the class {kind.__name__}" if isinstance(kind, type) else kind_of(kind)
        raise Misuse(f"{where} is {what}, which is no measure; {_FORM}")
    if not is_own(kind):
        return kind
    if "__dataclass_params__" not in vars(kind):
        raise Misuse(f"{where} is no dataclass; write @dataclass(frozen=True) above class {kind.__name__}")
    if inspect.isabstract(kind):
        raise Misuse(f"{where} has no method compute; define compute(self, evaluation), which returns Findings")
    name, version = getattr(kind, "name", None), getattr(kind, "version", None)
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise Misuse(f"{where} has the name {name!r}; give name = '...' of lower-case letters, digits and _")
    if name in BUILT_IN or name in NAMES:
        raise Misuse(f"{where} repeats the name {name!r} of a built-in measure or quantity; choose another")
    if not isinstance(version, int) or isinstance(version, bool):
        raise Misuse(f"{where} has the version {version!r}; give version = 1, and raise it when its numbers change")
    _check_described(kind, where)
    return kind


def _check_described(kind: type[Measure], where: str) -> None:
    described = kind.described
    if not (isinstance(described, tuple) and described and all(isinstance(q, Quantity) for q in described)):
        raise Misuse(f"{where} describes no quantity; give described = (Quantity(name, meaning, unit=...),)")
    names = [quantity.name for quantity in described]
    if tuple(names) != tuple(kind.quantities):
        raise Misuse(f"{where} has the quantities {kind.quantities} but describes {tuple(names)}; leave quantities out")
    taken = set(_TAKEN)
    for quantity in described:
        if not _NAME.fullmatch(quantity.name):
            raise Misuse(f"{where} has a quantity {quantity.name!r}; use lower-case letters, digits and _")
        columns = {quantity.name, *(quantity.name + end for end in BESIDE)}
        if clash := sorted(columns & taken):
            raise Misuse(f"{where} has a quantity {quantity.name!r}, and there is a column {clash[0]!r}; rename it")
        taken |= columns
    if unknown := [q for q, o in kind.on_request.items() if q not in names or o not in kind.__dataclass_fields__]:
        raise Misuse(f"{where} has on_request {unknown[0]!r}, which is no quantity of its own with one of its fields")
