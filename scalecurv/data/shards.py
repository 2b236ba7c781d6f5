"""The files of a directory of data that make up a split, in the order of their numbers."""

import re
from collections.abc import Sequence
from pathlib import Path

from scalecurv.data.file import KINDS, READERS
from scalecurv.data.npy import npy_files
from scalecurv.data.roles import no_such_split, only_splits
from scalecurv.errors import Misuse

# numbers after the name of a split: -00000-of-00002, _7, .3, and the digest that some hubs append
_NUMBERS = re.compile(r"((?:[-_.]of[-_.]\d+|[-_.]?\d+)+)(?:-[0-9a-f]{16})?$")
# files that the datasets library writes beside its .arrow files, and how to write what is there in another format
ON_DISK = ("dataset_dict.json", "dataset_info.json")
ARROW = "datasets.load_from_disk(FOLDER).to_parquet('data.parquet'), for each split of a DatasetDict"
_OF = re.compile(r"(\d+)[-_.]of[-_.](\d+)$")


def shards_of(folder: Path, split: str | None) -> tuple[list[Path], str | None]:
    """Return the files to concatenate, and the split to read from each of them; raises Misuse.

    A directory of .npy files is one source. A split NAME is NAME.suffix, NAME-00000-of-00002.suffix and so on, or the
    folder NAME/. Hidden files, files of other suffixes and folders without data are ignored.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if any(entry.name in ON_DISK for entry in entries):
        raise Misuse(f"--data {folder} was written by save_to_disk of datasets; write it as Parquet: {ARROW}")
    files = [entry for entry in entries if entry.is_file() and entry.suffix in READERS]
    others = [file for file in files if file.suffix != ".npy"]
    if (arrays := npy_files(folder)) and not others:
        return [folder], split
    if arrays and len(others) < len(files):
        first = next(file for file in files if file.suffix == ".npy")
        raise _other_kind(folder, others[0], first)
    folders = {entry.name: entry for entry in entries if entry.is_dir() and _holds_data(entry)}
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(_NUMBERS.sub("", file.stem), []).append(file)
    if not files and not folders:
        raise Misuse(f"--data {folder} holds no data; give files {KINDS} with arrays x and y")
    if split is None:
        if folders or len(groups) > 1:
            raise only_splits(folder, {*groups, *folders})
        return _in_order(folder, files), None
    chosen = [file for file in files if file.stem == split] or groups.get(split, [])
    if chosen and split in folders:
        raise Misuse(f"--data {folder} holds split {split} twice, {chosen[0].name} and {split}/; keep one")
    if chosen:
        return _in_order(folder, chosen), None
    if split in folders:
        return shards_of(folders[split], None)
    if len(groups) == 1 and not folders:
        return _in_order(folder, files), split  # each of the shards has the splits, or none has
    raise no_such_split(folder, split, {*groups, *folders})


def _holds_data(folder: Path) -> bool:
    return any(file.suffix in READERS for file in folder.iterdir())


def _in_order(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Return the files in the order of their numbers; raises Misuse where they do not make up one array."""
    ordered = sorted(files, key=lambda file: by_numbers(file.name))
    first = ordered[0]
    for file in ordered[1:]:
        if file.suffix != first.suffix:
            raise _other_kind(folder, file, first)
    unnumbered = [file.name for file in ordered if not _NUMBERS.search(file.stem)]
    if len(ordered) > 1 and unnumbered:
        other = next(file.name for file in ordered if file.name != unnumbered[0])
        raise Misuse(f"--data {folder}: {unnumbered[0]} stands beside {other}, which has a number; keep one of the two")
    counts = [_OF.search(match[1]) for file in ordered if (match := _NUMBERS.search(file.stem))]
    for count in filter(None, counts):
        if len(ordered) != int(count[2]):
            raise Misuse(
                f"--data {folder} has {len(ordered)} of the {int(count[2])} files of {first.name}; add the others"
            )
    return ordered


def _other_kind(folder: Path, file: Path, first: Path) -> Misuse:
    return Misuse(f"--data {folder}: {file.name} is of another kind than {first.name}; keep files of one suffix")


def by_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key to sort names by, in which runs of digits compare as numbers: ckpt_2 before ckpt_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
