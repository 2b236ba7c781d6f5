"""The inputs and the targets among the named arrays of a source, and the arrays of each of its splits."""

from collections.abc import Iterable, Mapping
from typing import Any

from scalecurv.data.holdings import holdings
from scalecurv.display import listing
from scalecurv.errors import Misuse
from scalecurv.samples.nested import Nested
from scalecurv.samples.pairs import INPUTS, TARGETS

# parts of the inputs that models of the transformers library take by these names
PARTS = (
    "input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "decoder_input_ids",
    "decoder_attention_mask", "pixel_values", "pixel_mask", "input_features", "input_values", "bbox",
)  # fmt: skip
LEADING = ("input_ids", "inputs_embeds", "pixel_values", "input_features", "input_values")  # one of them is there
MOST = 20  # splits that a message names
_LONGEST_FIRST = sorted((*INPUTS, *TARGETS, *PARTS), key=len, reverse=True)
NAMED = {
    "x": f"name the inputs x ({', '.join(INPUTS[1:])}, input_ids), or x/NAME where they are several",
    "y": f"name the targets y ({', '.join(TARGETS[1:])})",
}


def inputs_and_targets(source: object, arrays: Mapping[str, Any], split: str | None) -> tuple[Any, Any]:
    """Return the inputs and the targets among `arrays`, of the split where one is given: one array each, or a Nested.

    The arrays of a split NAME are x_NAME, NAME_x or those of the group NAME. Raises Misuse with the arrays that are
    there where inputs or targets are missing, or where several names would do.
    """
    splits = _splits(source, arrays)
    complete = [name for name, level in splits.items() if all(_candidates(level))]
    level, of = arrays, ""
    if split is not None:
        if split not in splits:
            raise no_such_split(source, split, complete)
        level, of = splits[split], f" of split {split}"
    elif complete and not all(_candidates(arrays)) and not {"x", "y"} & arrays.keys():
        raise only_splits(source, complete)
    candidates = _candidates(level)
    for role, found in zip("xy", candidates, strict=True):
        if not found:
            there = holdings(level or arrays)
            raise Misuse(f"--data {source} has no array {role}{of}; it holds {there}; {NAMED[role]}")
        if len(found) > 1:
            listed = listing(found)
            raise Misuse(f"--data {source}: each of {listed}{of} may be {role}; {NAMED[role]}, and only one of them so")
    x, y = (next(iter(found.values())) for found in candidates)
    return _nested(x), _nested(y)


def _nested(part: Any) -> Any:
    return Nested(part) if isinstance(part, Mapping | tuple | list) else part


def _candidates(level: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what may be the inputs, and what may be the targets, by name; x and y themselves go before other names."""
    x, y = (
        {name: level[name] for name in level if name == names[0]}
        or {name: part for name, part in level.items() if name.lower() in names}
        for names in (INPUTS, TARGETS)
    )
    parts = {name: part for name, part in level.items() if name in PARTS}
    if "x" not in x and any(name in parts for name in LEADING):
        x["input_ids" if "input_ids" in parts else next(iter(parts))] = (
            parts if len(parts) > 1 else next(iter(parts.values()))
        )
    return x, y


def _splits(source: object, arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the arrays of each split by their names without it; raise Misuse for one that is there twice."""
    found: dict[str, dict[str, Any]] = {}
    origins: dict[tuple[str, str], str] = {}
    whole = all(_candidates(arrays))
    for full, part in arrays.items():
        for split, name, held in _of_splits(full, part, whole):
            if other := origins.get((split, name)):
                origin = full if held is part else f"{full}/{name}"
                raise Misuse(f"--data {source} holds {name} of split {split} twice, {other} and {origin}; keep one")
            origins[split, name] = full if held is part else f"{full}/{name}"
            found.setdefault(split, {})[name] = held
    return found


def _of_splits(full: str, part: Any, whole: bool) -> Iterable[tuple[str, str, Any]]:
    """Yield split, name and array that an entry may stand for; `whole`: its level holds inputs and targets."""
    if isinstance(part, Mapping):
        if not (whole and _role(full)):  # else the parts of the inputs
            yield from ((full, str(name), held) for name, held in part.items() if _role(str(name)))
    elif isinstance(part, tuple | list) and len(part) == 2 and not _role(full):
        yield from ((full, name, held) for name, held in zip("xy", part, strict=True))
    if _role(full):
        return
    for role in _LONGEST_FIRST:
        for own, split in ((full[: len(role)], full[len(role) + 1 :]), (full[-len(role) :], full[: -len(role) - 1])):
            if own.lower() == role and split and not _role(split) and full in (f"{own}_{split}", f"{split}_{own}"):
                yield split, own, part
                return


def _role(name: str) -> bool:
    return name.lower() in INPUTS + TARGETS or name in PARTS


def only_splits(source: object, splits: Iterable[str]) -> Misuse:
    """Return the error for a source that holds only splits, when no split was given."""
    return Misuse(f"--data {source} holds the splits {_listed(splits)}; choose one with --split NAME")


def no_such_split(source: object, split: str, splits: Iterable[str]) -> Misuse:
    """Return the error for a split that the source does not have."""
    advice = f"it holds {there}" if (there := _listed(splits)) else "it holds none at all, so leave --split out"
    return Misuse(f"--data {source} has no split {split!r}; {advice}")


def _listed(splits: Iterable[str]) -> str:
    return listing(sorted(filter(None, splits)), MOST)  # files whose names are numbers belong to no named split
