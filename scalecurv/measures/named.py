"""The measures by name: the built-in ones, those that have a quantity, and measures of one's own."""

import difflib
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any

from scalecurv.errors import Misuse
from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.flatness import Flatness
from scalecurv.measures.gauss_newton import GaussNewton
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.own import check_class, installed, loaded, made, own_class
from scalecurv.measures.principal.principal import Principal
from scalecurv.measures.rank.rank import Rank
from scalecurv.measures.rescaling import Rescaling
from scalecurv.measures.sgd import Sgd
from scalecurv.measures.sharpness import Sharpness
from scalecurv.measures.spectrum import Spectrum
from scalecurv.quantities import QUANTITIES

MEASURES: dict[str, type[Measure]] = {
    m.name: m
    for m in (
        *(Gradient, Extremes, Moments, Rescaling, Curvature, Rank, Spectrum, Principal, GaussNewton),
        *(Sharpness, Sgd, Flatness),
    )
}
_OF_QUANTITY = {quantity.name: quantity.measure for quantity in QUANTITIES}
Named = str | Measure | type[Measure]


def measures_named(given: Named | Iterable[Named], **options: Any) -> tuple[Measure, ...]:
    """Return the measures that are `given`, each once, with the `options` that it has a field for.

    Each is given by the name of a measure, by the name of a quantity, which stands for the one measure that has it, by
    pkg.mod:Class, or by the name under which an installed package brings it (entry points `scalecurv.measures`). Commas
    separate several names. Classes are taken too, and measures with options of their own, which stay as they are.
    Built-in measures come first, in the order of MEASURES. Options that are None stand for a measure's own default.

    Raises Misuse for a name that is not known, a class that is no measure, two measures that share a name or a
    quantity, and options that a measure refuses.

    Example:
        >>> gradient, moments = measures_named(("trace", "moments", "gradient"), rtol=0.1)
        >>> gradient.name, moments.name, moments.asked.rtol
        ('gradient', 'moments', 0.1)
    """
    several: Iterable[Named] = (given,) if isinstance(given, str | Measure | type) else given
    found: dict[type[Measure], dict[str, Any]] = {}
    ready: list[Measure] = []
    for one in several:
        if isinstance(one, Measure):
            check_class(type(one), f"measure {type(one).__name__}")
            ready.append(one)
        elif isinstance(one, str):
            for name in one.split(","):
                kind, asked = _class_of(name.strip())
                found[kind] = {**found.get(kind, {}), **asked}
        else:
            found.setdefault(check_class(one, f"measure {getattr(one, '__name__', one)!s}"), {})
    wanted = {name: value for name, value in options.items() if value is not None}
    chosen = [made(kind, {**wanted, **asked}) for kind, asked in found.items()]
    chosen = list(dict.fromkeys([*chosen, *ready]))
    _check_apart(chosen)
    order = list(MEASURES)
    return tuple(sorted(chosen, key=lambda m: order.index(m.name) if m.name in order else len(order)))


def _class_of(name: str) -> tuple[type[Measure], dict[str, Any]]:
    """Return the class that a name stands for, and the options that the quantity of this name needs."""
    if name in MEASURES:
        return MEASURES[name], {}
    if ":" in name:
        return own_class(name), {}
    plug_ins = installed()
    if name in plug_ins:
        return loaded(plug_ins[name]), {}
    if name in _OF_QUANTITY:
        return _with_quantity(MEASURES[_OF_QUANTITY[name]], name)
    if bring := _bringing(name, plug_ins.values()):
        return _with_quantity(bring, name)
    known = [*MEASURES, *plug_ins]
    near = difflib.get_close_matches(name, [*known, *_OF_QUANTITY], 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise Misuse(
        f"unknown measure {name!r}{meant}; choose from {', '.join(known)}, or give a quantity for the measure that has "
        f"it, or pkg.mod:Class"
    )


def _bringing(quantity: str, plug_ins: Iterable[EntryPoint]) -> type[Measure] | None:
    """Return the measure of an installed package that has a quantity; raises Misuse where several have it."""
    found: list[type[Measure]] = []
    for entry in plug_ins:
        with suppress(Misuse):  # a broken package says so to those who ask for it by name
            kind = loaded(entry)
            found += [kind] if quantity in kind.quantities else []
    if len(found) > 1:
        raise Misuse(f"several measures have a quantity {quantity!r}: {', '.join(k.name for k in found)}; name one")
    return found[0] if found else None


def _with_quantity(kind: type[Measure], quantity: str) -> tuple[type[Measure], dict[str, Any]]:
    option = kind.on_request.get(quantity)
    return kind, {option: True} if option else {}


def _check_apart(measures: list[Measure]) -> None:
    """Raise Misuse where two classes share a name, or a quantity: their rows could not be told apart."""
    names: dict[str, type[Measure]] = {}
    owners: dict[str, type[Measure]] = {}
    for kind in dict.fromkeys(type(measure) for measure in measures):
        for name, claimed, what in ((kind.name, names, "name"), *((q, owners, "quantity") for q in kind.quantities)):
            if (other := claimed.setdefault(name, kind)) is not kind:
                raise Misuse(
                    f"two measures have the {what} {name!r}: {other.__module__}:{other.__qualname__} and "
                    f"{kind.__module__}:{kind.__qualname__}; leave one of them out"
                )
