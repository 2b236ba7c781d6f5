"""The label of a checkpoint (run, step, epoch): by a user's pattern, else as stored, else by its name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scalecurv.checkpoints.discover import SUFFIXES, root_of
from scalecurv.checkpoints.step import is_alias, run_of, step_and_epoch
from scalecurv.checkpoints.step_pattern import ADVICE, UNKNOWN, Label, StepPattern
from scalecurv.errors import Misuse
from scalecurv.record import Outcome
from scalecurv.store.labels import Row

SHOWN = 3  # names in a note


@dataclass(frozen=True)
class Labels:
    """The rules by which checkpoints below `roots` are labelled.

    A stored label came from the content of the file, from its name, or from an earlier pattern. It stays until a
    pattern says otherwise, or the file is read again with `--rehash` (`fresh`).
    """

    pattern: StepPattern | None
    roots: Sequence[Path]
    fresh: bool = False
    _said: dict[str, Label] = field(default_factory=dict, init=False, repr=False)

    def said(self, path: str) -> Label:
        """Return what the pattern says of a path; raises Misuse where a group is no number."""
        if path not in self._said:
            found = self.pattern.label(Path(path), self.roots) if self.pattern else None
            self._said[path] = found or UNKNOWN
        return self._said[path]

    def of(self, path: str, known: Label = UNKNOWN) -> Label:
        """Return the label of a path: what the pattern says, else what is `known`, else what the name says."""
        said, where = self.said(path), Path(path)
        step, epoch = step_and_epoch({"step": known.step, "epoch": known.epoch}, _name(where), where.parent.name)
        return _first(said, Label(step, epoch, known.run), Label(run=run_of(where)))

    def of_row(self, row: Row, path: str, read: Label = UNKNOWN) -> Label:
        """Return the label of a stored row whose file is at `path` now, and was `read` with this label if at all."""
        stored = UNKNOWN if self.fresh else Label(row["step"], row["epoch"])
        return self.of(path, _first(read, stored, Label(run=_run_now(row, path))))

    def of_outcome(self, outcome: Outcome, row: Row | None) -> Outcome:
        """Return an outcome with its label, in the light of the stored `row` of this path and content, if any."""
        read = Label(outcome.step, outcome.epoch, outcome.run)
        stored = None if row is None or self.fresh else self.of_row(row, row["path"])
        label = stored or _first(self.said(outcome.path), read)
        return replace(outcome, step=label.step, epoch=label.epoch, run=label.run)

    def must_be_read(self, row: Row, path: str) -> bool:
        """Return True where the name of a renamed file says another time than before, and its content may differ.

        The stored label may have come from the former name, which no longer counts, or from the content, which does.
        """
        said = self.said(path)
        now, before = (step_and_epoch({}, _name(p), p.parent.name) for p in (Path(path), Path(row["path"])))
        times = zip((said.step, said.epoch), (row["step"], row["epoch"]), now, before, strict=True)
        return any(
            by_pattern is None and new is not None and new != old and stored == old
            for by_pattern, stored, new, old in times
            if stored is not None
        )


def notes_on_steps(labels: Mapping[str, Label], rules: Labels, read: Mapping[str, Label], strict: bool) -> list[str]:
    """Return a note where names say no step, for the labels of files by path; aliases (last, best) need none.

    `read` is the label of a file that was read: where it has a step that the name lacks, so have others. A `strict`
    caller has all files: Misuse is raised where a pattern finds none of them.
    """
    paths = [path for path in labels if not is_alias(Path(path))]
    if rules.pattern:
        without = [path for path in paths if not _timed(rules.said(path)) and not rules.said(path).run]
        said = f"--step-pattern '{rules.pattern.regex.pattern}' is found"
        if strict and paths and len(without) == len(paths):
            raise Misuse(
                f"{said} in none of {len(paths)} names, such as {_below(paths[0], rules.roots)}; it is searched in the "
                f"path below the directory that was given"
            )
        said = f"{said} in all but"
    else:
        sizes = Counter(labels[path].run for path in paths)
        without = [path for path in paths if not _timed(labels[path]) and sizes[labels[path].run] > 1]
        if any(path in read and _timed(read[path]) for path in without):
            return []
        said = "no step found in"
    if not without:
        return []
    shown = ", ".join(_below(path, rules.roots) for path in without[:SHOWN]) + (", ..." if len(without) > SHOWN else "")
    return [f"{said} {len(without)} of {len(paths)} names: {shown}" + ("" if rules.pattern else f"; {ADVICE}")]


def _timed(label: Label) -> bool:
    return label.step is not None or label.epoch is not None


def _below(path: str, roots: Sequence[Path]) -> str:
    return str(Path(path).relative_to(root_of(Path(path), roots)))


def _first(*labels: Label) -> Label:
    """Return for each part of a label the first that is known."""
    step = next((label.step for label in labels if label.step is not None), None)
    epoch = next((label.epoch for label in labels if label.epoch is not None), None)
    return Label(step, epoch, next((label.run for label in labels if label.run), ""))


def _name(path: Path) -> str:
    """Return the name of a checkpoint without the suffix of a file."""
    return path.name if path.suffix not in SUFFIXES and path.is_dir() else path.stem


def _run_now(row: Row, path: str) -> str:
    """Return the run of a stored row whose file is at `path` now; its directory may have been renamed."""
    run, here, before = Path(row["run"]), Path(path), Path(row["path"])
    if here == before or (str(run) != run_of(before) and run in here.parents):
        return str(run)
    while str(run) != run_of(before) and here.name == before.name and here != here.parent:
        here, before = here.parent, before.parent
        if run.is_relative_to(before) and here.name != before.name:
            return str(here / run.relative_to(before))
    return run_of(Path(path))
