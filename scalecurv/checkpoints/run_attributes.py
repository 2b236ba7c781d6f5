"""The attributes of training runs (learning rate, width): from patterns in their paths, and from run.json files."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalecurv.display import kind_of
from scalecurv.errors import Misuse

FILE_NAME = "run.json"
LARGEST = 256 << 10  # bytes of a run.json: its values become columns
LONGEST_INT = 20  # characters: columns of integers have 64 bits
Value = str | int | float | bool
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_NO_NAME = re.compile(r"\W")
_EXAMPLE = r"--run-attr 'lr=lr([0-9.]+)'"


def attribute_patterns(words: Iterable[str]) -> dict[str, str]:
    """Return patterns by name from words NAME=REGEX; raises Misuse for a word of another form, or a name given twice.

    Example:
        >>> attribute_patterns(["lr=lr([0-9.]+)", "seed=s[0-9]+"])
        {'lr': 'lr([0-9.]+)', 'seed': 's[0-9]+'}
    """
    patterns: dict[str, str] = {}
    for word in words:
        name, equals, pattern = word.partition("=")
        if not equals or not pattern:
            raise Misuse(f"--run-attr {word!r} is not of the form NAME=REGEX; give it as in {_EXAMPLE}")
        if name in patterns:
            raise Misuse(f"--run-attr {name} is given twice; put both patterns into one, as {patterns[name]}|{pattern}")
        patterns[name] = pattern
    return patterns


@dataclass(frozen=True)
class RunAttributes:
    """Regular expressions by the names of the attributes that they find in a run's path."""

    regexes: Mapping[str, re.Pattern[str]]

    @classmethod
    def compiled(cls, patterns: Mapping[str, str]) -> "RunAttributes":
        """Return the attributes of these patterns by name; raises Misuse where a name or a pattern is none."""
        regexes = {}
        for name, pattern in patterns.items():
            if not name.isidentifier():
                raise Misuse(f"--run-attr {name}={pattern}: {name!r} is no name of a column; use letters, digits and _")
            try:
                regexes[name] = re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise Misuse(f"--run-attr {name}={pattern} is no regular expression ({error})") from error
            if (groups := regexes[name].groups) > 1:
                raise Misuse(f"--run-attr {name}={pattern} has {groups} groups; mark all but one with (?:...)")
        return cls(regexes)

    def of(self, run: str) -> dict[str, Value]:
        """Return the attributes that are found in a run's path; of several matches of one pattern the last counts.

        Example:
            >>> RunAttributes.compiled({"lr": "lr([0-9.]+)"}).of("/data/lr1/run_lr0.05")
            {'lr': 0.05}
        """
        found = {}
        for name, regex in self.regexes.items():
            texts = [match[match.re.groups] for match in regex.finditer(run)]
            if texts and texts[-1] is not None:
                found[name] = value_of(texts[-1])
        return found

    def unmatched(self, runs: Sequence[str]) -> list[str]:
        """Return a note for each pattern that some runs lack; raises Misuse where no run has it."""
        notes = []
        for name, regex in self.regexes.items():
            without = [run for run in runs if name not in self.of(run)]
            if len(without) == len(runs):
                raise Misuse(
                    f"--run-attr {name}={regex.pattern} is found in no path of {len(runs)} run(s), such as {runs[0]}; "
                    f"give a REGEX that is found there, or write {FILE_NAME} beside the checkpoints"
                )
            if without:
                some = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
                notes.append(f"--run-attr {name} is not found in {len(without)} of {len(runs)} runs: {some}")
        return notes


def value_of(text: str) -> Value:
    """Return the number that a text is, else the text.

    Example:
        >>> [value_of(text) for text in ("1e-3", ".1", "64", "adam", "nan")]
        [0.001, 0.1, 64, 'adam', 'nan']
    """
    if not _NUMBER.fullmatch(text):
        return text
    if text.lstrip("+-").isdecimal():
        return int(text) if len(text) <= LONGEST_INT and abs(int(text)) < 2**63 else text
    return float(text) if math.isfinite(float(text)) else text


def written_attributes(folder: Path, root: Path) -> dict[str, Value | None]:
    """Return the attributes in the nearest run.json in `folder` or above it, not above `root`; {} where there is none.

    Names of nested objects are joined by "_", lists become JSON text, and None stands for null and NaN: no attribute.
    Raises Misuse for a file that is no object, no JSON or too large, for a directory or a link to nothing in its place,
    and for two names that make one column.
    """
    above = [place for place in (folder, *folder.parents) if place == root or root in place.parents]
    file = next((place / FILE_NAME for place in above if os.path.lexists(place / FILE_NAME)), None)
    if file is None:
        return {}
    if not os.path.isfile(file):  # a directory, a pipe that would be waited for, a link to nothing
        raise Misuse(f"{file} leads to no file; write the settings of the run into it, or remove it")
    try:
        if (size := file.stat().st_size) > LARGEST:
            raise Misuse(f"{file} has {size:,} bytes, more than {LARGEST:,}; keep the settings of the run in it only")
        content = json.loads(file.read_text(encoding="utf-8-sig"))  # with the byte order mark of Windows or without
        leaves = list(_leaves(content)) if isinstance(content, dict) else None
    except Misuse:  # which is a ValueError too
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(f"{file} cannot be read as JSON: {error}") from error
    if leaves is None:
        raise Misuse(f'{file} holds {kind_of(content)}; it must be an object, as {{"lr": 0.1, "seed": 3}}')
    attributes: dict[str, Value | None] = {}
    origins: dict[str, str] = {}
    for keys, value in leaves:
        origin, name = ".".join(keys), _NO_NAME.sub("_", "_".join(keys))
        name = name if name.isidentifier() else f"_{name}"
        if name.lower() in origins:  # columns of SQL do not differ by case
            raise Misuse(f"{file}: {origins[name.lower()]} and {origin} make one column {name}; rename one of them")
        origins[name.lower()], attributes[name] = origin, _plain(value)
    return attributes


def _leaves(content: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _plain(value: Any) -> Value | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isnan(value):  # as text it would make a text of the column in all runs
        return None
    return value_of(value if isinstance(value, str) else json.dumps(value))
