"""A pattern of the user's own that reads step, epoch and run from the paths of checkpoints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scalecurv.checkpoints.discover import root_of
from scalecurv.checkpoints.step import LIMIT, SUFFIX
from scalecurv.errors import Misuse

GROUPS = ("step", "epoch", "run")
ADVICE = r"give --step-pattern REGEX with (?P<step>\d+)"
_NUMBER = re.compile(r"([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)([km]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Label:
    """The step, epoch and run of a checkpoint; None, or "" for the run, where they are not known."""

    step: int | None = None
    epoch: float | None = None
    run: str = ""


UNKNOWN = Label()


@dataclass(frozen=True)
class StepPattern:
    """A regular expression with groups named step, epoch and run; a single group without a name is the step."""

    regex: re.Pattern[str]
    groups: tuple[tuple[str, str | int], ...]

    @classmethod
    def compiled(cls, text: str) -> "StepPattern":
        r"""Return the pattern of a regular expression; raises Misuse where it is none, or lacks these groups.

        Example:
            >>> from pathlib import Path
            >>> pattern = StepPattern.compiled(r"(?P<run>lr[\d.]+)/it(?P<step>\d+k?)")
            >>> pattern.label(Path("/runs/lr0.1/it20k.pt"), [Path("/runs")])
            Label(step=20000, epoch=None, run='/runs/lr0.1')
        """
        try:
            regex = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise Misuse(f"--step-pattern '{text}' is no regular expression ({error}); {ADVICE}") from error
        named = regex.groupindex
        if unknown := next((name for name in named if name not in GROUPS), None):
            raise Misuse(f"--step-pattern '{text}' names a group {unknown}; its groups may be {', '.join(GROUPS)}")
        if not named and regex.groups != 1:
            count = "no group" if not regex.groups else f"{regex.groups} groups without a name"
            raise Misuse(f"--step-pattern '{text}' has {count}; {ADVICE}")
        return cls(regex, tuple((name, name) for name in GROUPS if name in named) if named else (("step", 1),))

    def label(self, path: Path, roots: Sequence[Path]) -> Label | None:
        """Return what the pattern says of a path, None where it is not found there; raises Misuse for no number.

        The first match counts, in the part of the path below the directory in `roots` that holds it. A run is that
        directory joined with the group's text.
        """
        root = root_of(path, roots)
        match = self.regex.search(path.relative_to(root).as_posix())
        if match is None:
            return None
        said = {name: match[group] for name, group in self.groups if match[group] is not None}
        step, epoch = (self._number(name, said[name], path) if name in said else None for name in ("step", "epoch"))
        if step is not None and not (step.is_integer() and abs(step) < LIMIT):
            raise Misuse(
                f"--step-pattern '{self.regex.pattern}': the group step is {said['step']!r} in {path}; it must match a "
                f"whole number below 2^63"
            )
        text = said.get("step", "")
        exact = int(text) if text.isdecimal() else None if step is None else int(step)  # a float has 53 bits
        return Label(exact, epoch, str(root / said["run"]) if "run" in said else "")

    def _number(self, name: str, text: str, path: Path) -> float:
        found = _NUMBER.fullmatch(text)
        if not found:
            raise Misuse(
                f"--step-pattern '{self.regex.pattern}': the group {name} is {text!r} in {path}; it must match a number"
            )
        return float(found[1]) * SUFFIX[found[2].lower()]
