"""The stand-ins of classes, functions and instances that a pickle names, and the budget of what a pickle may cost."""

from collections import Counter
from typing import Any

SHALLOW = 1000  # the most parts of a tuple that may be a key; hashing takes time and stack for each
PART = 32  # bytes that a part of a key counts for, whenever it is hashed
ALIKE = 100  # tuples of one hash that may be keys; a file can make any number of them, and so a slow dict
WORD = 1 << 64  # a file can choose larger integers so that their hashes collide, and so make a slow dict


class Unreadable(ValueError):
    """A file breaks the rules of its format, or exceeds a limit; the message continues the name of the file."""


class Global:
    """A class or function that a pickle names; it is never imported, and a call of it runs only a maker."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"<global {self.name}>"


class Placeholder:
    """An inert object in the place of an instance that a pickle describes.

    `name` is the name of the class or function, and `arguments` are those of the call. `state` is the state that the
    pickle sets, `entries` are the items that it puts in as into a dict, and `members` those as into a list.
    """

    __slots__ = ("arguments", "entries", "members", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = (), options: Any = None):
        self.name, self.arguments, self.state = name, arguments, options
        self.entries: dict[Any, Any] | None = None
        self.members: list[Any] | None = None

    def __repr__(self) -> str:
        return f"<placeholder of {self.name}>"

    def attribute(self, name: str) -> Any:
        """Return an attribute of the state, None where there is none, without listing the others."""
        parts = self.state if type(self.state) is tuple and len(self.state) == 2 else (self.state,)
        return next((part[name] for part in parts if type(part) is dict and name in part), None)

    @property
    def attributes(self) -> dict[Any, Any]:
        """Return the attributes in the state: a dict, or a pair of one and of the values of slots."""
        state = self.state
        if type(state) is tuple and len(state) == 2:
            return {name: value for part in state if type(part) is dict for name, value in part.items()}
        return state if type(state) is dict else {}


class Attributes(dict[Any, Any]):
    """The attributes of a namespace, as argparse makes, by name."""

    __slots__ = ()


class Budget:
    """The most bytes that calls may copy for one file, so that no small file fills the memory.

    A pickle can repeat a call, and so copy its argument, for 6 bytes each time.
    """

    def __init__(self, left: int):
        self._left = left
        self._hashes: Counter[int] = Counter()

    def spend(self, size: int) -> None:
        """Take `size` bytes off what is left; raises Unreadable where there are not as many."""
        self._left -= size
        if self._left < 0:
            raise Unreadable("unpacks to far more than its size; it is damaged, or made to harm")

    def alike(self, key: Any) -> int:
        """Return how many keys with the hash of `key` there were, with this one."""
        self._hashes[hash(key)] += 1
        return self._hashes[hash(key)]


def hashable(budget: Budget, key: Any) -> Any:
    """Return `key` where it is safe as a key, and a placeholder where its hash collides, or can be made to.

    Each part is charged to `budget`. Raises Unreadable for lists and dicts, and for tuples of more than `SHALLOW`
    parts, counted through all levels.
    """
    if type(key) is str or (type(key) is int and -WORD < key < WORD):
        return key
    parts, count = [key], 0
    while parts:
        part = parts.pop()
        inner = isinstance(part, tuple | frozenset)  # a torch.Size too
        count += 1
        if count + (len(part) if inner else 0) > SHALLOW:  # before they are listed
            raise Unreadable(
                f"has a key of more than {SHALLOW} parts, or nested without end; it is damaged, or made to harm"
            )
        if inner:
            parts += part
        elif type(part) is complex or (type(part) is int and not -WORD < part < WORD):
            return Placeholder(f"builtins.{type(part).__name__}", (part,))
        elif isinstance(part, list | dict | set | bytearray):
            raise Unreadable(f"has a {type(part).__name__} as a key; it is damaged, or made to harm")
    budget.spend(PART * count)
    if isinstance(key, tuple | frozenset) and budget.alike(key) > ALIKE:
        return Placeholder(f"builtins.{type(key).__name__}", (key,))
    return key
