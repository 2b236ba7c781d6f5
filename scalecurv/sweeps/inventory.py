"""The files of a sweep as the store knows them, also under former paths, and the changes of labels that follow."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from scalecurv.checkpoints.run_attributes import RunAttributes
from scalecurv.checkpoints.step_pattern import UNKNOWN, Label
from scalecurv.record import FileStamp, Outcome
from scalecurv.store.frames import Tables
from scalecurv.store.labels import TICK, LabelChanges, Row, file_row, move_row, newest_rows, relabelled
from scalecurv.store.rows import storable
from scalecurv.store.schema import ANALYSED
from scalecurv.sweeps.labels import Labels
from scalecurv.sweeps.moves import Arrival, Shown, has_left, recognised, renamed, renamed_folders, state_in
from scalecurv.sweeps.run_attributes import attribute_rows, attributes_now


class Inventory:
    """The files that a sweep found, and what the store knows of each; paths are as the store writes them.

    `known` are the contents of files that need not be read, `former` the former paths of renamed files, `labels` the
    labels of all files, `changes` the rows that bring the store up to date with these, and `notes` lines for the user.
    """

    def __init__(self, stamps: Mapping[str, FileStamp | None], tables: Tables, labels: Labels, patterns: RunAttributes):
        self._stamps, self._tables, self._labels, self._patterns = stamps, tables, labels, patterns
        self._shown = Shown(tables, {path: None if s is None else state_in(s) for path, s in stamps.items()})
        here = self._shown.at(set(stamps))
        self._contents = {(row["path"], row["fingerprint"]) for row in here}
        known = {} if labels.fresh else recognised(stamps, tables["files"])
        new = {
            path: content.fingerprint
            for path, content in known.items()
            if not (content.here and (path, content.fingerprint) in self._contents)
        }
        former = renamed(self._arrivals(new), self._shown)
        unclear = self._to_be_read(former)
        self.known = {path: content for path, content in known.items() if path not in unclear}
        self.former = {path: old for path, old in former.items() if path not in unclear}
        moved = frozenset(self.former.values())
        left = [row for row in here if row["path"] not in moved]
        now = time.time()
        self.changes = self._moved(self.former, now) + self._relabelled(left, now) + self._new_states(now)
        self._shown = replace(self._shown, moved=moved)
        rows = sorted((*left, *self.changes.checkpoints), key=lambda row: float(row["created"]))
        self._analysed = {(row["path"], *(row[name] for name in ANALYSED)) for row in rows}
        self._rows = {(row["path"], row["fingerprint"]): row for row in rows}
        by_path = {row["path"]: Label(row["step"], row["epoch"], row["run"]) for row in rows}
        self.labels = {path: by_path.get(path) or labels.of(path) for path in stamps}
        runs = {self.labels[path].run: path for path in sorted(stamps, key=lambda path: path in self.former)}
        stayed = {row["path"]: row["path"] for row in left}
        self.changes += self._attributes(runs, {**stayed, **self.former}, now)
        self.notes = (*_said(self.changes), *patterns.unmatched(sorted(runs)))

    def shows(self, path: str, *analysed: object) -> bool:
        """Return True where the store shows this content under this path, `analysed` as ANALYSED says."""
        return (path, *analysed) in self._analysed

    def labelled(self, outcome: Outcome) -> Outcome:
        """Return an outcome with its labels: those of the row of this path and content where there is one."""
        return self._labels.of_outcome(outcome, self._rows.get((storable(outcome.path), outcome.fingerprint)))

    def may_be_renamed(self, outcome: Outcome) -> bool:
        """Return True where a checkpoint that was read may have been renamed, which `settled` decides."""
        known = outcome.status != "twin" and outcome.fingerprint in self._shown.contents
        return known and has_left(self._arrivals({storable(outcome.path): outcome.fingerprint}), self._shown)

    def settled(self, outcomes: Iterable[Outcome]) -> tuple[LabelChanges, set[str]]:
        """Return the changes for those of these outcomes that were renamed, and the paths that need no other row."""
        read, now = {storable(outcome.path): outcome for outcome in outcomes}, time.time()
        former = renamed(self._arrivals({path: outcome.fingerprint for path, outcome in read.items()}), self._shown)
        changes = self._moved(former, now, {path: Label(read[path].step, read[path].epoch) for path in former})
        rows = {(row["path"], *(row[name] for name in ANALYSED)) for row in changes.checkpoints}
        files, covered = [], set()
        for path, outcome in read.items():
            analysed = (getattr(outcome, name) for name in ANALYSED)
            if (path, *analysed) in rows and not outcome.records and outcome.stamp:
                covered.add(outcome.path)
                files.append(file_row(outcome.stamp, outcome.fingerprint, outcome.own_dtype, now))
        runs = {row["run"]: row["path"] for row in changes.checkpoints}
        return changes + LabelChanges(files=tuple(files)) + self._attributes(runs, former, now), covered

    def _arrivals(self, fingerprints: Mapping[str, str]) -> list[Arrival]:
        """Return files with these contents, which may have been renamed."""
        return [
            Arrival(
                path, self._labels.of(path).run, content, self._shown.now.get(path), (path, content) in self._contents
            )
            for path, content in fingerprints.items()
        ]

    def _to_be_read(self, former: Mapping[str, str]) -> set[str]:
        """Return those of these renamed files whose content has to say what their label is."""
        now = {old: new for new, old in former.items()}
        rows = self._shown.at(set(now))
        return {now[row["path"]] for row in rows if self._labels.must_be_read(row, now[row["path"]])}

    def _relabelled(self, rows: Iterable[Row], now: float) -> LabelChanges:
        """Return rows with other labels for those whose labels changed; with a pattern, of files that are gone too."""
        if self._labels.fresh:  # the files say what their labels are
            return LabelChanges()
        gone = self._shown.below([str(root) for root in self._labels.roots]) if self._labels.pattern else []
        known = {*self._stamps, *self.former.values()}
        candidates = [*rows, *(row for row in gone if row["path"] not in known)]
        newest, changed = newest_rows(candidates, self._tables), []
        for row in candidates:
            labels = self._label(row, row["path"])
            if any(row[name] != value for name, value in labels.items()):
                changed.append(relabelled(row, max(now, newest[row["path"]] + TICK), **labels))
        return LabelChanges(tuple(changed))

    def _moved(self, former: Mapping[str, str], now: float, read: Mapping[str, Label] | None = None) -> LabelChanges:
        """Return the rows of renamed files under their paths of now, and the moves by which the others are hidden.

        `read` are the labels of files that were read again.
        """
        rows = self._shown.at({*former, *former.values()})
        newest, of_path = newest_rows(rows, self._tables), defaultdict(list)
        for row in rows:
            of_path[row["path"]].append(row)
        moves = {old: move_row(old, new, max(r["created"] for r in of_path[old])) for new, old in former.items()}
        for new_folder, old_folder in renamed_folders(former):  # the failed files of a renamed run
            for row in self._shown.failed_below(old_folder):
                old, new = row["path"], new_folder + row["path"][len(old_folder) :]
                if new in self._stamps and old not in moves and self._shown.gone(old):
                    moves[old] = move_row(old, new, row["created"])
        checkpoints = []
        for new, old in former.items():
            created = max(now, newest.get(new, 0.0) + TICK)
            for row in of_path[old]:
                labels = self._label(row, new, (read or {}).get(new, UNKNOWN))
                checkpoints.append(relabelled(row, created, path=new, **labels))
        return LabelChanges(tuple(checkpoints), moves=tuple(moves.values()))

    def _label(self, row: Row, path: str, read: Label = UNKNOWN) -> Row:
        label = self._labels.of_row(row, path, read)
        return {"step": label.step, "epoch": label.epoch, "run": storable(label.run)}

    def _new_states(self, now: float) -> LabelChanges:
        """Return the states of known files that the store has under other paths only."""
        files = self._tables["files"]
        files = files[files["path"].isin(set(self.known))]
        stored = {(f.path, (f.size, f.mtime_ns, f.inode)) for f in files.itertuples()}
        new = (
            file_row(replace(stamp, path=path), content.fingerprint, content.dtype, now)
            for path, content in self.known.items()
            if (stamp := self._stamps[path]) is not None and (path, state_in(stamp)) not in stored
        )
        return LabelChanges(files=tuple(new))

    def _attributes(self, runs: Mapping[str, str], former: Mapping[str, str], now: float) -> LabelChanges:
        """Return the changed attributes of runs, given with one of their paths; runs of another name keep theirs."""
        old_runs = {row["path"]: row["run"] for row in self._shown.at(set(former.values()))}
        before = {run: old_runs[former[path]] for run, path in runs.items() if path in former}
        attributes = attributes_now(runs, before, self._patterns, self._labels.roots, self._tables)
        return LabelChanges(runs=attribute_rows(attributes, self._tables, now))


def _said(changes: LabelChanges) -> list[str]:
    """Return a line on each kind of change of stored rows."""
    moved = {move["moved_to"] for move in changes.moves}
    counts = (
        (len(moved), "file(s) were renamed since they were analysed; their rows take the new paths"),
        (len({r["path"] for r in changes.checkpoints} - moved), "stored checkpoint(s) take another step, epoch or run"),
    )
    return [f"{count} {words}" for count, words in counts if count]
