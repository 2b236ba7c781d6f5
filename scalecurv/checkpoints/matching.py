"""The match of a checkpoint's names with a model's: the prefix with which most names fit, and tied tensors."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.mappings import AVERAGES, WRAPPERS
from scalecurv.checkpoints.names import networks, unwrapped_names
from scalecurv.errors import CheckpointError

_PARAMETRIZED = re.compile(r"(?<![^.])parametrizations[.](\w+)[.]original([01])$")  # magnitude and direction
DEEPEST = 64  # modules within modules, in a name


@dataclass(frozen=True)
class Shift:
    """A change of prefix: a model's name that begins with `here` is a checkpoint's name that begins with `there`."""

    there: str
    here: str

    def __call__(self, name: str) -> str | None:
        """Return the checkpoint's name for a name of the model, None where the model has it elsewhere."""
        return self.there + name[len(self.here) :] if name.startswith(self.here) else None

    @property
    def rank(self) -> int:
        """Return the preference among equal fits: the model's own names, then no prefix, then prefixes of trainers."""
        if not self.there:
            return 0 if not self.here else 1
        return 2 if self.there.rstrip(".") in WRAPPERS else 3


class Names:
    """The names in the state of a model, unwrapped, with their tensors and the names that are tied to each.

    `held` are the names of a checkpoint: where none of them is of a parametrization, weight_norm has its former names.
    """

    def __init__(self, model: nn.Module, factory: str, held: Iterable[str] = ()):
        state = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
        advice = "rename one of the modules"
        plain = unwrapped_names(state, f"--model {factory}", advice)
        new = any(".parametrizations." in f".{name}" for name in held)
        self.plain = plain if new else {name: _before_parametrizations(there) for name, there in plain.items()}
        self.state, self.ties = state, _tied(model, state)
        self.parameters = {n for n, _ in model.named_parameters(remove_duplicate=False) if n in state}

    def fits(self, name: str, tensor: Tensor | None) -> bool:
        """Return True where a tensor can take the place of `name`; a lazy parameter takes any shape."""
        return tensor is not None and (is_lazy(self.state[name]) or self.state[name].shape == tensor.shape)

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Return the names of each parameter, several where it is tied; those of buffers where there are no others."""
        return list({self.ties[name]: None for name in (self.parameters or self.state)})


def shift_of(checkpoint: Checkpoint, names: Names, factory: str) -> Shift:
    """Return the shift with which most names of the model have a tensor of their shape.

    A shift that gives every parameter a tensor comes before all others. An average is not chosen where other weights
    have half of its names or more. Raises CheckpointError where several complete shifts do equally well and take
    different tensors.
    """
    tensors = checkpoint.tensors
    shifts = _without_averages(list(_candidates(tensors, names)), tensors, names)
    best: dict[tuple[bool, int], dict[tuple[str | None, ...], Shift]] = defaultdict(dict)
    for shift in shifts:
        held = {name: shift(plain) for name, plain in names.plain.items()}
        fitting = {name for name, there in held.items() if there and names.fits(name, tensors.get(there))}
        complete = all(not fitting.isdisjoint(group) for group in names.groups)
        taken = tuple(there if name in fitting else None for name, there in held.items())
        best[complete, len(fitting)].setdefault(taken, shift)
    if not best:
        return Shift("", "")
    equal = sorted(best[max(best)].values(), key=lambda shift: shift.rank)
    if max(best)[0] and len(equal) > 1 and equal[0].rank == equal[1].rank:
        found = {s.there: [checkpoint.written(n) for n in tensors if n.startswith(s.there)] for s in equal}
        raise CheckpointError(f"{checkpoint.path} holds several networks that fit --model {factory}: {networks(found)}")
    return equal[0]


def _candidates(tensors: Mapping[str, Tensor], names: Names) -> Iterable[Shift]:
    """Yield the shifts with which some name of the model has a tensor; the model's prefix grows from shift to shift."""
    before: dict[str, list[str]] = defaultdict(list)  # for each ending of a name, what stands before it
    for name in tensors:
        for at in _beginnings(name):
            before[name[at:]].append(name[:at])
    first, *others = names.groups or [()]
    heres = {names.plain[name][:at]: None for name in first for at in _beginnings(names.plain[name])}
    for here in sorted(heres, key=len):
        if not all(any(names.plain[name].startswith(here) for name in group) for group in others):
            continue
        count: Counter[str] = Counter()
        for name, plain in names.plain.items():
            if plain.startswith(here):
                ending = plain[len(here) :]
                count.update(there for there in before.get(ending, ()) if names.fits(name, tensors[there + ending]))
        most = max(count.values(), default=0)
        yield from (Shift(there, here) for there, fitting in count.items() if 2 * fitting >= most)


def _without_averages(shifts: list[Shift], tensors: Mapping[str, Tensor], names: Names) -> list[Shift]:
    """Return the shifts without averages (ema.) where another gives tensors to half as many names, or to more."""

    def fitting(shift: Shift) -> int:
        held = ((name, shift(plain)) for name, plain in names.plain.items())
        return sum(there is not None and names.fits(name, tensors.get(there)) for name, there in held)

    plain = [shift for shift in shifts if not AVERAGES.search(shift.there)]
    most = max(map(fitting, shifts), default=0)
    return plain if plain and 2 * max(map(fitting, plain)) >= most else shifts


def _before_parametrizations(name: str) -> str:
    """Return the name that torch.nn.utils.weight_norm gave a tensor before torch had parametrizations.

    Example:
        >>> _before_parametrizations("0.parametrizations.weight.original0")
        '0.weight_g'
    """
    return _PARAMETRIZED.sub(lambda match: f"{match[1]}_{'gv'[int(match[2])]}", name)


def _beginnings(name: str) -> Sequence[int]:
    """Return the positions at which a dotted name may be cut: before its first module, and after each dot."""
    return [0, *(i + 1 for i in islice((i for i, character in enumerate(name) if character == "."), DEEPEST))]


def _tied(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Return, for each name in the state of `model`, all names of its tensor there, its own included."""
    names: dict[int, list[str]] = {}
    everything = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in everything:
        names.setdefault(id(tensor), []).append(name)
    groups = {name: tuple(n for n in group if n in state) for group in names.values() for name in group}
    return {name: groups.get(name, (name,)) for name in state}
