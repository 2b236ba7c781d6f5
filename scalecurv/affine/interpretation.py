"""One forward pass of a model, seen operation by operation: which parameters each array depends on, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from scalecurv.affine.operations import Rule, arguments_of, reads_values, rule_of, written_by
from scalecurv.samples.nested import tensors_in

READS = ("tolist", "numpy", "__array__", "__dlpack__", "data_ptr")  # ways by which values leave torch unseen


@dataclass(frozen=True)
class State:
    """The state of an array: the parameters that it `depends` on, and those in which it may be no affine function.

    Both are sets as bits of one integer. `varies` is True for values that are not constants: those of the samples, and
    all that is computed from samples or parameters, comparisons too.
    """

    depends: int = 0
    bent: int = 0
    varies: bool = False

    def __or__(self, other: "State") -> "State":
        return State(self.depends | other.depends, self.bent | other.bent, self.varies or other.varies)

    @property
    def curved(self) -> "State":
        """The state of a smooth function of the array."""
        return State(self.depends, self.bent | self.depends, self.varies)

    @property
    def constant(self) -> "State":
        """The state of a function of the array whose derivative is zero wherever it exists."""
        return State(varies=self.varies)


def joined(states: Iterable[State]) -> State:
    """Return the state of a linear function of arrays in these states."""
    total = State()
    for state in states:
        total |= state
    return total


def result_of(rule: Rule | None, states: Mapping[str, State], is_complex: bool) -> State:
    """Return the state of what an operation makes of arguments in these states; None is an operation without a rule."""
    if rule is not None and rule.fresh:
        return State()
    everything = joined(states.values())
    if rule is None or (rule.kinked and is_complex):
        return everything.curved
    if rule.constant:
        return everything.constant
    bent = joined(state.curved if name in rule.curved else state for name, state in states.items()).bent
    for one, other in combinations((states[name].depends for name in rule.factors if name in states), 2):
        bent |= one & other
    return State(everything.depends, bent, everything.varies)


class Interpretation(TorchDispatchMode):
    """A mode that keeps the State of every storage that the operations within it read and write.

    A state belongs to a storage, and a write joins the new state to the old one, so that views and operations in place
    are followed. `unclear` becomes True where the pass cannot be trusted: values of samples or parameters became Python
    numbers or shapes, an array came from operations that were not seen, or it is none of plain numbers in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unclear = False
        self._states: dict[int, tuple[State, Any]] = {}  # each storage is held, so that its address is not used again

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, since models run uncompiled here: to shield the mode from the compiler would load it, 0.8 s."""
        return False

    def enter(self, tensor: Tensor, state: State) -> None:
        """Join a state to that of the storage of a tensor."""
        storage = tensor.untyped_storage()
        self._states[storage._cdata] = (self._known(storage._cdata) | state, storage)

    def state(self, tensor: Tensor) -> State:
        """Return the state of a tensor; one that requires a gradient and was never seen makes the pass unclear."""
        if _strange(tensor):
            self.unclear = True
            return State()
        place = tensor.untyped_storage()._cdata
        if place not in self._states and tensor.requires_grad:
            self.unclear = True
        return self._known(place)

    def _known(self, place: int) -> State:
        return self._states[place][0] if place in self._states else State()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload):
            self.unclear = True
            return func(*args, **kwargs)
        given = arguments_of(func, args, kwargs)
        tensors = {name: list(tensors_in(value)) for name, value in given.items()}
        states = {name: joined(map(self.state, found)) for name, found in tensors.items() if found}
        out = func(*args, **kwargs)
        made = list(tensors_in(out))
        reads = reads_values(func, given) if made or not func._schema.returns else list(given)
        if any(states[name].varies for name in reads if name in states):
            self.unclear = True
        is_complex = any(tensor.is_complex() for found in tensors.values() for tensor in found)
        result = result_of(rule_of(func, given), states, is_complex)
        for tensor in (*made, *(tensor for name in written_by(func) for tensor in tensors.get(name, ()))):
            self._write(tensor, result)
        return out

    def _write(self, tensor: Tensor, result: State) -> None:
        """Join what an operation made to the state of the storage; whole numbers and booleans have no derivative."""
        if _strange(tensor):
            self.unclear = True
        elif tensor.is_floating_point() or tensor.is_complex():
            self.enter(tensor, result)
        else:
            self.enter(tensor, result.constant)


class Reading(TorchFunctionMode):
    """A mode that makes an interpretation unclear where values leave torch by a way that is no operation, or enter it.

    The numbers that one_hot reads only to compare them with its number of classes do not.
    """

    def __init__(self, seen: Interpretation):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = getattr(func, "__name__", "") in READS and any(self.seen.state(t).varies for t in tensors_in(args))
        if read or func == Tensor.data.__set__:  # type: ignore[attr-defined]
            self.seen.unclear = True
        before, kwargs = self.seen.unclear, kwargs or {}
        out = func(*args, **kwargs)
        if func is one_hot and kwargs.get("num_classes", args[1] if len(args) > 1 else -1) >= 0:
            self.seen.unclear = before
        return out


def _strange(tensor: Tensor) -> bool:
    """Return True for a tensor that is no array of plain numbers in memory of its own."""
    subclass = type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
    return subclass or tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized
