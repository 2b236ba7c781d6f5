"""The machine that carries out a pickle's operations on plain data.

`pickletools.genops` of the standard library decodes the operations, which runs nothing. This module carries them out.
`pickle.Unpickler` with restricted names is not used, for three reasons. It sets states on any object of its stack, so a
class, a dtype or a function would stay changed for the whole process. It takes objects from the registry of `copyreg`,
where no check of names sees them. It hashes keys in C, where deeply nested tuples exhaust the stack and kill the
process. Here an operation changes only containers that this module makes, and calls only the functions of the table
`makers`, which belong to this package and check their arguments. The price is speed: this module is as fast as torch's
own restricted reader, which is written in Python too, and takes a few seconds for 10 MB of single numbers.
"""

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # the names of Python 2
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from scalecurv.display import kind_of
from scalecurv.pickles.placeholder import Attributes, Budget, Global, Placeholder, Unreadable, hashable

Maker = Callable[[tuple[Any, ...]], Any]  # it returns NotImplemented for arguments that make no plain data
MOST = 20_000_000  # operations: at most some gigabytes, where each makes a container
PROTOCOL = 5  # the newest
MADE = 512  # bytes that a tensor or a container takes at least, beside its items
FARTHEST = 1 << 60  # places of the memo; hashes of larger numbers collide at will
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NEW: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_VALUES = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
     "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
     "BINBYTES8", "BYTEARRAY8")
)  # fmt: skip
_GETS, _PUTS = frozenset(("GET", "BINGET", "LONG_BINGET")), frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARKED = frozenset(
    ("TUPLE", "LIST", "DICT", "FROZENSET", "APPENDS", "ADDITEMS", "SETITEMS", "INST", "OBJ", "POP_MARK")
)


@dataclass
class Machine:
    """The tables of what a pickle may name, and the operations.

    `values` are plain data that pickles name, `makers` the functions that carry out calls, both by their full names;
    `builders` set a state on an instance of their type; `stored` returns what a persistent id stands for.
    """

    values: Mapping[str, Any]
    makers: Mapping[str, Maker]
    builders: Mapping[type, Callable[[Any, Any], None]]
    stored: Callable[[Any], Any]
    budget: Budget
    _globals: dict[str, Global] = field(default_factory=dict)

    def load(self, source: IO[bytes]) -> Any:
        """Return the value of the pickle that begins at the position of `source`, and move the position behind it.

        Raises Unreadable for a pickle that breaks the rules, and what `genops` raises where there is no pickle.
        """
        stack: list[Any] = []
        outer: list[list[Any]] = []  # the stacks below each mark
        memo: dict[Any, Any] = {}
        for count, (operation, argument, _) in enumerate(pickletools.genops(source)):
            name = operation.name
            if name in _VALUES:
                stack.append(argument)
            elif name in _PUTS:
                if argument is None or abs(argument) > FARTHEST:
                    raise Unreadable("numbers its objects beyond all counting; it is damaged, or made to harm")
                memo[argument] = stack[-1]
            elif name in _GETS:
                stack.append(memo[argument])
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _NEW:
                stack.append(_NEW[name]())
            elif name in _TUPLES:
                if len(stack) < _TUPLES[name]:
                    raise Unreadable("takes more from its stack than is there; it is damaged")
                stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name == "MARK":
                outer.append(stack)
                stack = []
            elif name in _MARKED or (name == "POP" and not stack):
                items, stack = stack, outer.pop()
                self._gathered(name, stack, items, argument)
            elif name != "STOP":
                self._single(name, stack, argument)
            if count > MOST:
                raise Unreadable(f"holds a pickle of more than {MOST} operations; save model.state_dict() alone")
        return stack.pop()

    def _gathered(self, name: str, stack: list[Any], items: list[Any], argument: Any) -> None:
        """Carry out an operation on all items above a mark."""
        match name:
            case "TUPLE":
                stack.append(tuple(items))
            case "LIST":
                stack.append(items)
            case "DICT":
                stack.append({})
                self.put(stack[-1], items)
            case "FROZENSET":
                stack.append(frozenset(hashable(self.budget, item) for item in items))
            case "SETITEMS":
                self.put(stack[-1], items)
            case "APPENDS" | "ADDITEMS":
                self.add(stack[-1], items)
            case "INST":
                stack.append(self.called(self._named(argument), tuple(items)))
            case "OBJ":
                stack.append(self.called(items[0], tuple(items[1:])))

    def _single(self, name: str, stack: list[Any], argument: Any) -> None:
        """Carry out an operation on the last few items of the stack."""
        match name:
            case "GLOBAL":
                stack.append(self._named(argument))
            case "STACK_GLOBAL":
                leaf, module = stack.pop(), stack.pop()
                if not (type(module) is type(leaf) is str):
                    raise Unreadable("names a class by something else than text; it is damaged, or made to harm")
                stack.append(self._named(f"{module} {leaf}"))
            case "EXT1" | "EXT2" | "EXT4":
                stack.append(self._named(f"copyreg extension_{argument}"))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(self.called(stack.pop(), arguments))
            case "NEWOBJ_EX":
                options, arguments = stack.pop(), stack.pop()
                stack.append(self.called(stack.pop(), arguments, options))
            case "BUILD":
                self.build(stack[-2], stack.pop())
            case "APPEND":
                self.add(stack[-2], [stack.pop()])
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.put(stack[-1], [key, value])
            case "PERSID":
                stack.append(self.stored(argument))
            case "BINPERSID":
                stack.append(self.stored(stack.pop()))
            case "POP":
                stack.pop()
            case "DUP":
                stack.append(stack[-1])
            case "PROTO" if argument <= PROTOCOL:
                pass
            case "FRAME":
                pass  # a frame only says how much to read at once
            case _:
                raise Unreadable(f"is a pickle of another kind ({name} {argument}); save it with protocol 5 or less")

    def _named(self, pair: str) -> Any:
        """Return the plain data of a name, given as "module name", else its Global, one object for each name."""
        self.budget.spend(len(pair))  # two long texts, named again and again, make as many names as pairs
        module, _, leaf = pair.partition(" ")
        module, leaf = NAME_MAPPING.get((module, leaf), (IMPORT_MAPPING.get(module, module), leaf))
        for before, now in (("numpy._core", "numpy.core"), ("pathlib._local", "pathlib")):
            module = now + module.removeprefix(before) if module.startswith(before) else module
        full = f"{module}.{leaf}"
        return self.values[full] if full in self.values else self._globals.setdefault(full, Global(full))

    def called(self, what: Any, arguments: Any, options: Any = None) -> Any:
        """Return the result of the maker of this name, else a placeholder that remembers the arguments."""
        if type(what) is Placeholder:  # a partial function, a bound method
            return Placeholder(f"a call of {what.name[:200]}", (what, arguments), options)
        if type(what) is not Global or type(arguments) is not tuple:
            raise Unreadable(f"calls {kind_of(what)} with {kind_of(arguments)}; it is damaged, or made to harm")
        maker = None if options else self.makers.get(what.name)
        if maker:
            self.budget.spend(MADE)
        made = maker(arguments) if maker else NotImplemented
        return Placeholder(what.name, arguments, options) if made is NotImplemented else made

    def build(self, made: Any, state: Any) -> None:
        """Keep the state of a placeholder, or set the state of an array or a namespace; other plain data ignore it."""
        if type(made) is Placeholder:
            made.state = state
        elif type(made) is Attributes and type(state) is dict:
            self.budget.spend(128 * len(state))
            self.put(made, [part for pair in state.items() for part in pair])
        elif type(made) in self.builders:
            self.builders[type(made)](made, state)

    def put(self, made: Any, items: list[Any]) -> None:
        """Set entries, given as key, value, key, value, ..., of a dict or a placeholder."""
        if type(made) is Placeholder:
            made.entries = made = made.entries if made.entries is not None else {}
        if type(made) not in (dict, OrderedDict, Attributes) or len(items) % 2:
            raise Unreadable(f"sets entries of {kind_of(made)}; it is damaged")
        for key, value in zip(items[::2], items[1::2], strict=True):
            made[hashable(self.budget, key)] = value

    def add(self, made: Any, items: list[Any]) -> None:
        """Append to a list, a set or a placeholder."""
        if type(made) is Placeholder:
            made.members = made = made.members if made.members is not None else []
        if type(made) is list:
            made.extend(items)
        elif type(made) is set:
            made.update(hashable(self.budget, item) for item in items)
        else:
            raise Unreadable(f"appends to {kind_of(made)}; it is damaged")
