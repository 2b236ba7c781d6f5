"""The names of the arrays x and y in a file, without a split or of the split that is given."""

from collections.abc import Iterable
from pathlib import Path

from scalecurv.errors import Misuse

HOLDS = "it must hold x (N, ...) and y"


def names_of(path: Path, names: Iterable[str], split: str | None) -> tuple[str, str]:
    """Return the names of x and y among `names`, x_NAME or NAME/x for a split NAME; raises Misuse if one is missing."""
    splits = _splits(path, names := list(names))
    complete = [name for name, pair in splits.items() if len(pair) == 2]
    if split is not None:
        if split not in splits:
            raise no_such_split(path, split, complete)
        pair, of = splits[split], f" of split {split}"
    else:
        pair, of = {name: name for name in ("x", "y") if name in names}, ""
        if not pair and complete:
            raise only_splits(path, complete)
    for name in ("x", "y"):
        if name not in pair:
            raise Misuse(f"--data {path} has no array {name}{of}; {HOLDS}")
    return pair["x"], pair["y"]


def only_splits(path: Path, splits: Iterable[str]) -> Misuse:
    """Return the error for a source that holds only splits, when no split was given."""
    return Misuse(f"--data {path} holds the splits {_listed(splits)}; choose one with --split NAME")


def no_such_split(path: Path, split: str, splits: Iterable[str]) -> Misuse:
    """Return the error for a split that the source does not have."""
    advice = f"it holds {there}" if (there := _listed(splits)) else "it holds none at all, so leave --split out"
    return Misuse(f"--data {path} has no split {split!r}; {advice}")


def _listed(splits: Iterable[str]) -> str:
    return ", ".join(sorted(filter(None, splits)))  # files whose names are numbers only belong to no named split


def _splits(path: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for full in names:
        split, slash, name = full.rpartition("/")
        if not slash:
            name, _, split = full.partition("_")
        if split and name in ("x", "y"):
            pair = found.setdefault(split, {})
            if name in pair:
                raise Misuse(f"--data {path} holds {name} of split {split} twice, {pair[name]} and {full}; keep one")
            pair[name] = full
    return found
