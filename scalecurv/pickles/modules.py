"""The state_dict of modules that were pickled whole, taken from their attributes."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from scalecurv.pickles.placeholder import Attributes, Budget, Placeholder, Unreadable

DEEPEST, LARGEST = 100, 1_000_000  # modules within modules; modules and tensors in one file
NAME = 64  # characters; a name costs one unit of the budget more for each 64
SHALLOW = 8  # containers within containers, in which modules are looked for
_PARTS = ("_parameters", "_buffers", "_modules")
Members = Callable[[Placeholder], tuple[dict[Any, Any], dict[Any, Any]]]  # tensors and modules within, by name


def is_module(value: Any) -> bool:
    """Return True for a placeholder with the attributes that every torch.nn.Module has."""
    return type(value) is Placeholder and all(isinstance(value.attribute(part), dict) for part in _PARTS)


def members(module: Placeholder) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return the tensors of a module itself, None for those that its state_dict leaves out, and its submodules."""
    tensors, buffers, modules = (module.attribute(part) if is_module(module) else {} for part in _PARTS)
    passing = module.attribute("_non_persistent_buffers_set")
    if isinstance(passing, set | frozenset):
        buffers = {name: None if name in passing else value for name, value in buffers.items()}
    return {**tensors, **buffers}, modules


def state_of(module: Placeholder, budget: Budget, members: Members = members) -> "OrderedDict[str, Any]":
    """Return the state_dict of a module; each tensor and module takes one of the budget, more for a long name.

    Raises Unreadable where modules contain themselves, and where shared submodules make exponentially many names.
    """
    state: OrderedDict[str, Any] = OrderedDict()
    left = [("", module, 0)]
    while left:
        prefix, inner, depth = left.pop()
        tensors, modules = members(inner)
        budget.spend(1 + (len(tensors) + len(modules)) * (1 + len(prefix) // NAME))
        if depth > DEEPEST:
            raise Unreadable("holds a module of modules without end; it is damaged, or made to harm")
        state.update((f"{prefix}{name}", value) for name, value in tensors.items() if value is not None)
        below = [(f"{prefix}{name}.", held, depth + 1) for name, held in modules.items() if type(held) is Placeholder]
        left += reversed(below)
    return state


def with_plain_dicts(content: Any) -> Any:
    """Return `content` with plain dicts for objects: a state_dict for a module, the entries for a subclass of dict.

    An object of any other class at the top, such as a trainer, becomes the dict of its attributes. Containers change in
    place. Containers nested more than `SHALLOW` times stay as they are.
    """
    if type(content) is Placeholder and not is_module(content) and content.entries is None and content.attributes:
        content = Attributes(content.attributes)
    return _with_plain_dicts(content, SHALLOW, Budget(LARGEST), {})


def _with_plain_dicts(value: Any, levels: int, budget: Budget, done: dict[int, tuple[Any, Any]]) -> Any:
    """Return the value or its replacement; `done` keeps both alive by id, so that Python reuses no id."""
    if id(value) in done:
        return done[id(value)][1]
    if not isinstance(value, dict | list | tuple | Placeholder) or not levels:
        return value
    made = _as_mapping(value, budget)
    done[id(value)], done[id(made)] = (value, made), (made, made)
    if isinstance(made, dict):
        for name, held in made.items():
            made[name] = _with_plain_dicts(held, levels - 1, budget, done)  # no key is added, so that the loop goes on
    elif isinstance(made, list):
        made[:] = [_with_plain_dicts(held, levels - 1, budget, done) for held in made]
    elif type(made) is tuple:
        made = tuple(_with_plain_dicts(held, levels - 1, budget, done) for held in made)
        done[id(value)] = (value, made)
    return made


def _as_mapping(value: Any, budget: Budget) -> Any:
    """Return the state_dict of a module, the entries of an instance that is a dict, or `value` itself."""
    if is_module(value):
        return state_of(value, budget)
    return value.entries if type(value) is Placeholder and value.entries is not None else value
