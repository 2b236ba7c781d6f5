"""The choice of the mapping of weights in a file: by a known key, by --weights, or because it is the only one."""

import re
import shlex
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from scalecurv.display import kind_of, listing, shown
from scalecurv.errors import CheckpointError

WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "weights", "params")
OUTER = ("state", "app")  # trainers and recipes of distributed checkpoints put the model here, beside the optimizer
TOP = "."  # the key of the outermost mapping
DEEPEST, MOST, FIRST = 12, 10_000, 1_000  # levels, containers, and items of a list that are looked at
LIMIT = 10**18  # larger numbers are no keys of weights
# keys of the states of a training
_STATES = re.compile(
    r"optim(?!al|um|i[sz]ed)|(?<![a-z])sched|(?<![a-z])scaler|grad_?scaler|rng_state|random_state", re.IGNORECASE
)
_MOMENTS = frozenset(("param_groups", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg"))
AVERAGES = re.compile(r"(?<![a-z])(?:ema|swa|averaged?|shadow)(?![a-z])", re.IGNORECASE)

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """A mapping of names and tensors, and the keys that lead to it from the outermost mapping."""

    keys: tuple[str, ...]
    tensors: Mapping[str, T]

    @property
    def key(self) -> str:
        """Return the keys as --weights takes them."""
        return ".".join(self.keys) or TOP

    @property
    def is_known(self) -> bool:
        """Return True where training loops call the weights by these keys."""
        return bool(self.keys) and self.keys[-1] in WRAPPERS and all(k in (*WRAPPERS, *OUTER) for k in self.keys)

    @property
    def has_matrices(self) -> bool:
        """Return True where some tensor has two dimensions or more, as facts beside the weights have not."""
        return any(_dimensions(tensor) > 1 for tensor in self.tensors.values())

    @property
    def rank(self) -> tuple[int, int]:
        """Return the order among known keys: the outermost first, then as WRAPPERS has them."""
        return len(self.keys), WRAPPERS.index(self.keys[-1])


def chosen(path: Path, content: Mapping[Any, Any], leaf: type[T], key: str | None) -> Mapping[str, T]:
    """Return the tensors of the mapping that holds the weights; instances of `leaf` count as tensors.

    `key` names the mapping. Without it, a mapping under a key of WRAPPERS is taken, else the only mapping. States of
    optimizers never count, and averages of weights count only where there is nothing else. Raises CheckpointError where
    none or several are left, or nothing is under the `key`.
    """
    if key is None:
        return _chosen(path, list(_found(content, leaf)), content)
    there = _at(content, key)
    if there is None:
        held = list(_found(content, leaf))
        if [one.keys for one in held] == [()]:
            raise CheckpointError(
                f"{path} holds its tensors without a key, and nothing under {shown(key)}; leave --weights out"
            )
        raise CheckpointError(f"{path} holds nothing under --weights {shown(key)}; {_choice(held)}")
    if not isinstance(there, Mapping | list | tuple):
        raise CheckpointError(
            f"{path} holds {kind_of(there)} under --weights {shown(key)}, no mapping of tensors; "
            f"{_choice(list(_found(content, leaf)))}"
        )
    found = list(_found(there, leaf))
    direct = Found((), _tensors(there, leaf))
    if direct.tensors and (direct.has_matrices or not any(one.has_matrices for one in found)):
        return direct.tensors
    return _chosen(path, found, content, (key,))


def _chosen(
    path: Path, found: list[Found[T]], content: Mapping[Any, Any], above: tuple[str, ...] = ()
) -> Mapping[str, T]:
    """Return the tensors of one of the mappings that were found; `above` are the keys that were asked for."""
    if known := [one for one in found if one.is_known]:
        return min(known, key=lambda one: one.rank).tensors
    matrices = [one for one in found if one.has_matrices]
    if (top := next((one for one in found if not one.keys), None)) and any("." in name for name in top.tensors):
        return top.tensors  # a bare state_dict, whatever lies beside its tensors
    left = matrices or found
    plain = [one for one in left if not any(map(AVERAGES.search, one.keys))]
    if len(left) == 1 or len(plain) == 1:
        return (plain or left)[0].tensors
    if not left:
        keys = listing(key for key, _ in _items(content))
        raise CheckpointError(
            f"{path} holds no named weights (its keys: {keys}); save model.state_dict(), or if it is no checkpoint, "
            f"leave it out with --exclude {shlex.quote(path.name)}"
        )
    named = [Found((*above, *one.keys), one.tensors) for one in left]
    raise CheckpointError(
        f"{path} holds several mappings of tensors, and none is known to be the weights; {_choice(named)}"
    )


def _choice(found: list[Found[Any]]) -> str:
    if not found:
        return "it holds no tensors"
    held = listing(one.key for one in found)
    named = [one for one in found if shown(one.key) == one.key]  # no option can name the others
    if not named:
        return f"it holds {held}"
    one = max(named, key=lambda one: (not any(map(AVERAGES.search, one.keys)), len(one.tensors)))
    return f"it holds {held}; choose one, such as --weights {shlex.quote(one.key)}"


def _found(content: Any, leaf: type[T]) -> Iterator[Found[T]]:
    """Yield the mappings that hold tensors, the outermost first; states of a training are passed over."""
    queue: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    seen: set[int] = set()
    passed: set[int] = set()
    while queue and len(seen) < MOST:
        keys, held = queue.popleft()
        if id(held) in seen or id(held) in passed:  # before it is listed: it may be large and stand in many places
            continue
        items = _items(held)
        if not _MOMENTS.isdisjoint(name for name, _ in items):
            passed.add(id(held))
            continue
        seen.add(id(held))
        if tensors := _tensors(held, leaf):
            yield Found(keys, tensors)
        if len(keys) < DEEPEST:
            inner = ((name, value) for name, value in items if isinstance(value, Mapping | list | tuple))
            queue.extend(((*keys, name), value) for name, value in inner if not _STATES.search(name))


def _tensors(held: Any, leaf: type[T]) -> dict[str, T]:
    """Return the tensors that a mapping holds itself; those of a list have no names."""
    if not isinstance(held, Mapping):
        return {}
    return {name: value for name, value in _items(held) if isinstance(value, leaf)}


def _items(held: Any) -> list[tuple[str, Any]]:
    """Return the items of a mapping or list by their keys as text; `dict.items` cannot be overridden by a key."""
    if isinstance(held, list | tuple):
        return [(str(i), value) for i, value in enumerate(islice(held, FIRST))]
    items = dict.items(held) if isinstance(held, dict) else held.items()
    return [
        (str(name), v) for name, v in items if isinstance(name, str) or (isinstance(name, int) and abs(name) < LIMIT)
    ]


def _dimensions(tensor: Any) -> int:
    """Return the number of dimensions of a tensor, or of one that is described and not read yet."""
    return len(tensor.shape if hasattr(tensor, "shape") else tensor.size)


def _at(content: Any, key: str) -> Any:
    """Return the value at a dotted key, None where there is none; keys and names of tensors may hold dots too."""
    if key == TOP:
        return content
    waiting: deque[tuple[Any, str]] = deque([(content, key)])
    while waiting:
        held, rest = waiting.popleft()
        if not isinstance(held, Mapping | list | tuple):
            continue
        items = _items(held)
        if exact := next(((name, value) for name, value in items if name == rest), None):
            return exact[1]
        if below := {name[len(rest) + 1 :]: value for name, value in items if name.startswith(f"{rest}.")}:
            return below
        waiting.extend((value, rest[len(name) + 1 :]) for name, value in items if rest.startswith(f"{name}."))
    return None
