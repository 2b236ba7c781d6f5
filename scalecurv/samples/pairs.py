"""A batch or one sample as a pair of inputs x and targets y, from a tuple or from a dict by its keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalecurv.display import kind_of, listing, with_article
from scalecurv.errors import Misuse
from scalecurv.samples.arrays import num_rows, parts_of, tensors_of
from scalecurv.samples.nested import Nested, described, is_container

INPUTS = ("x", "inputs", "input", "data", "images", "image", "features")  # in capitals or not
TARGETS = ("y", "targets", "target", "labels", "label")
NUM_SHOWN = 4  # parts of a container


@dataclass(frozen=True)
class Pair:
    """Inputs x and targets y: one array each, or a Nested of several; tensors, or arrays that are still to be read."""

    x: Any
    y: Any

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> "Pair":
        return Pair(self.x[rows], self.y[rows])

    def tensors(self, of: str = "", exact: bool = False) -> "Pair":
        """Return the pair as tensors, int64 for whole numbers unless `exact`; raise Misuse that names x or y `of`."""
        return Pair(tensors_of(self.x, f"x{of}", exact), tensors_of(self.y, f"y{of}", exact))

    def rows(self, of: str = "") -> int:
        """Return the number of samples; raise Misuse where there is none, or where x and y differ in length."""
        count = num_rows(self.x, f"x{of}")
        if not count:
            raise Misuse(f"x{of} has shape {_shape(self.x)}; give at least one sample, shape (N, ...)")
        if not is_one_number(self.y):
            targets = num_rows(self.y, f"y{of}")
        if is_one_number(self.y) or targets != count:
            told = "one" if is_one_number(self.y) else targets
            raise Misuse(f"x{of} has {count} samples and y{of} has {told}; give one target a sample{self._listed()}")
        return count

    def _listed(self) -> str:
        """Return the advice to stack x where it is a list of one array per target; "" elsewhere."""
        listed = isinstance(self.x, Nested) and isinstance(self.x.tree, tuple | list) and not is_one_number(self.y)
        if not listed or len(self.x.tree) != len(self.y):
            return ""
        return (
            "; x is a list of arrays, each of which is taken as one input: if each is one sample, give torch.stack(x)"
        )


def is_one_number(y: Any) -> bool:
    """Return True for a single number, the target of one sample."""
    return getattr(y, "shape", None) == ()


def _shape(x: Any) -> Any:
    return tuple(x.shape) if hasattr(x, "shape") else described(x)


def pair_of(held: Any, what: str, of: str = "") -> Pair:
    """Return x and y of a pair (x, y), or of a dict or named tuple with the targets under one of `TARGETS`.

    The other parts of a dict are the inputs: one array where it has one of the names `INPUTS`, else a Nested of parts
    by name. `what` names the thing in errors, and `of` what its x and y belong to. Raises Misuse for anything else.

    Example:
        >>> import torch
        >>> pair_of({"input_ids": torch.zeros(2, 3), "mask": torch.ones(2, 3), "labels": torch.zeros(2)}, "batch 0").x
        {['input_ids']: (2, 3) float32, ['mask']: (2, 3) float32}
    """
    if isinstance(held, Pair):
        return held
    if isinstance(held, tuple) and {name.lower() for name in getattr(held, "_fields", ())} & {*TARGETS}:
        held = held._asdict()  # type: ignore[attr-defined]
    if isinstance(held, Mapping):
        x, y = _by_name(held, what)
    elif isinstance(held, tuple | list) and len(held) == 2:
        x, y = held
        if isinstance(y, Mapping) and len(y) == 1 and is_target(next(iter(y))):
            y = next(iter(y.values()))
    else:
        raise Misuse(f"{what} is {told(held)}; give (x, y){_several(held)}")
    return Pair(parts_of(x, f"x{of}"), parts_of(y, f"y{of}"))


def is_target(name: Any) -> bool:
    """Return True for a name of the targets."""
    return str(name).lower() in TARGETS


def _by_name(held: Mapping[Any, Any], what: str) -> tuple[Any, Any]:
    targets = [name for name in held if is_target(name)]
    listed = listing(held) or "nothing"
    if not targets and held and all(map(_is_data_set, held.values())):
        raise Misuse(f"{what} is {kind_of(held)} of {listed}, each a data set of its own; give one of them")
    if len(targets) != 1:
        found = "several are" if targets else "none is"
        raise Misuse(
            f"{what} is {kind_of(held)} of {listed}: the targets are one part, named {', '.join(TARGETS[:-1])} "
            f"or {TARGETS[-1]}, and {found} so named; give (x, y), x the dict of inputs"
        )
    x = {name: part for name, part in held.items() if name != targets[0]}
    if not x:
        raise Misuse(f"{what} is {kind_of(held)} of {listed} alone; give the inputs too, by name, or (x, y)")
    name, part = next(iter(x.items()))
    return (part if len(x) == 1 and str(name).lower() in INPUTS else x), held[targets[0]]


def _is_data_set(part: Any) -> bool:
    arrays = hasattr(part, "shape") or isinstance(part, tuple | list | str | bytes)
    return hasattr(part, "__getitem__") and hasattr(part, "__len__") and not arrays


def told(held: Any) -> str:
    """Return a description of an object for a message: "a tuple of 3: Tensor (4, 3), Tensor (4, 2), str"."""
    if isinstance(held, Mapping):
        return f"{kind_of(held)} of {listing(held) or 'nothing'}"
    if isinstance(held, tuple | list):
        more = ", ..." if len(held) > NUM_SHOWN else ""
        listed = ", ".join(map(_kind, held[:NUM_SHOWN]))
        return f"{kind_of(held)} of {len(held)}{': ' * bool(listed)}{listed}{more}"
    if isinstance(held, str):
        return f"the string {held[: NUM_SHOWN * 6]!r}"
    return "None" if held is None else with_article(_kind(held))


def _kind(part: Any) -> str:
    shape = getattr(part, "shape", None)
    return f"{type(part).__name__}{f' {tuple(shape)}' if isinstance(shape, tuple) else ''}"


def _several(held: Any) -> str:
    if isinstance(held, tuple | list) and len(held) > 2 and is_container(held):
        return ", with several inputs as ((x1, x2), y), and batches so too: [((a, b), y) for a, b, y in loader]"
    return ", one row a sample"
