"""Files that were renamed since they were analysed, told from copies and from runs that share one content."""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from scalecurv.record import FileStamp
from scalecurv.store.frames import Tables
from scalecurv.store.labels import Row, checkpoint_rows

State = tuple[int, int, int]  # size, mtime_ns, inode: a renamed file keeps them


def state_in(stamp: FileStamp) -> State:
    """Return the part of a file's stamp that does not change when the file is renamed."""
    return stamp.size, stamp.mtime_ns, stamp.inode


@dataclass(frozen=True)
class Known:
    """The content of a file, known by the file's state without reading it; `dtype` is that of its products.

    `here` is True where the store has this state under the file's own path.
    """

    fingerprint: str
    dtype: str
    here: bool


def recognised(stamps: Mapping[str, FileStamp | None], files: pd.DataFrame) -> dict[str, Known]:
    """Return the content of each file whose state the store knows, under its own path or under another one.

    A file has the state of a path that still has it only where both are one file: on two disks they agree by chance.
    """
    states = {state_in(stamp) for stamp in stamps.values() if stamp is not None}
    files = files[files["inode"].isin({inode for _, _, inode in states})].sort_values("created")
    seen: dict[State, dict[str, Known]] = defaultdict(dict)
    for file in files.itertuples():
        if (then := (file.size, file.mtime_ns, file.inode)) in states:
            seen[then][file.path] = Known(file.fingerprint, file.dtype, False)
    known = {}
    for path, stamp in stamps.items():
        state = state_in(stamp) if stamp else None
        there = seen.get(state, {}) if state else {}
        if path in there:
            known[path] = replace(there[path], here=True)
        elif state and there and all(_is_one_file(path, other, state) for other in there):
            known[path] = list(there.values())[-1]
    return known


def _is_one_file(path: str, other: str, state: State) -> bool:
    """Return True unless the other path still has that state and is another file."""
    try:
        here, there = os.stat(path), os.stat(other)
    except OSError:  # the other is gone
        return True
    if stat.S_ISDIR(there.st_mode):  # its files may have the state, and are not looked at here
        return False
    # the third number of a state says which tensors were chosen, too, and is no inode then
    return os.path.samestat(here, there) or state[:2] != (there.st_size, there.st_mtime_ns)


@dataclass(frozen=True)
class Arrival:
    """A file that is new under its path; `shown` is True where the store shows the same content there already."""

    path: str
    run: str
    fingerprint: str
    state: State | None
    shown: bool = False


@dataclass(frozen=True)
class Shown:
    """The checkpoints that a reader of the store sees, without those of paths whose rows have `moved`.

    `now` has the states of the files that were found, by path.
    """

    tables: Tables
    now: Mapping[str, State | None]
    moved: Collection[str] = ()

    @cached_property
    def contents(self) -> frozenset[str]:
        """Return the fingerprints of all rows, and perhaps of others."""
        return frozenset(self.tables["checkpoints"]["fingerprint"].cat.categories) - {""}

    def at(self, paths: Collection[str]) -> list[Row]:
        """Return the rows of these paths."""
        frame = self.tables["checkpoints"]
        return checkpoint_rows(frame[frame["path"].isin(paths)])

    def of(self, fingerprints: Collection[str]) -> list[Row]:
        """Return the rows of these contents."""
        frame = self.tables["checkpoints"]
        return checkpoint_rows(frame[frame["fingerprint"].isin(fingerprints)])

    def in_run(self, run: str) -> list[Row]:
        """Return the rows of one run."""
        frame = self.tables["checkpoints"]
        return checkpoint_rows(frame[frame["run"].isin([run])])

    def below(self, roots: Collection[str]) -> list[Row]:
        """Return the rows of paths below these directories."""
        frame = self.tables["checkpoints"]
        heads = tuple(os.path.join(root, "") for root in roots)
        return checkpoint_rows(
            frame[frame["path"].astype(object).map(lambda path: path.startswith(heads)).astype(bool)]
        )

    def failed_below(self, folder: str) -> list[Row]:
        """Return the rows of files below a directory that could not be read."""
        frame = self.tables["checkpoints"]
        failed = checkpoint_rows(frame[(frame["status"] == "failed") & (frame["fingerprint"] == "")])
        return [row for row in failed if row["path"].startswith(os.path.join(folder, ""))]

    def states(self, fingerprints: Collection[str]) -> dict[tuple[str, str], set[State]]:
        """Return the states in which files had these contents, by path and content."""
        frame, states = self.tables["files"], defaultdict(set)
        for file in frame[frame["fingerprint"].isin(fingerprints)].itertuples():
            states[file.path, file.fingerprint].add((file.size, file.mtime_ns, file.inode))
        return states

    def gone(self, path: str) -> bool:
        """Return True where there is no file at a path, and its rows have not moved elsewhere."""
        return path not in self.now and path not in self.moved and not os.path.exists(path)


@dataclass(frozen=True)
class _Pair:
    """A file and a path that it may have had; `same` where the very file is known, and not only its content."""

    arrival: Arrival
    path: str
    run: str
    same: bool


def _pairs(arrivals: Iterable[Arrival], shown: Shown) -> list[_Pair]:
    """Return the paths that show the content of an arrival and that it has left.

    A path is left where it has no file, or where the arrival is the very file that it had and it has another file now.
    Of a content that is shown under the arrival's own path already, only the very file can have come from elsewhere.
    """
    waiting = list(arrivals)
    contents = {arrival.fingerprint for arrival in waiting}
    states = shown.states(contents)
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for row in shown.of(contents):
        places[row["fingerprint"]][row["path"]] = row["run"]
    pairs = []
    for arrival in waiting:
        for path, run in places[arrival.fingerprint].items():
            same = arrival.state in states.get((path, arrival.fingerprint), ())
            replaced = same and shown.now.get(path) not in (None, arrival.state) and path not in shown.moved
            if path != arrival.path and (same or not arrival.shown) and (replaced or shown.gone(path)):
                pairs.append(_Pair(arrival, path, run, same))
    return pairs


def has_left(arrivals: Iterable[Arrival], shown: Shown) -> bool:
    """Return True where one of these files may have been renamed; what else arrived decides: see `renamed`."""
    return bool(_pairs(arrivals, shown))


def renamed(arrivals: Iterable[Arrival], shown: Shown) -> dict[str, str]:
    """Return the former path of each file that was renamed, by its path of now; one former path for each.

    A file that is known by its state has been renamed. Where only the content agrees, as after a move to another disk,
    it must have stayed in its run, or its run have come along: with several contents, or with the only one. So a new
    run that starts from the initial weights of a deleted run takes nothing from it. Of several former paths, that of
    the run with which most contents are shared counts, then the longest common tail.
    """
    pairs = _pairs(arrivals, shown)
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pair in pairs:
        shared[pair.arrival.run, pair.run].add(pair.arrival.fingerprint)

    def rank(pair: _Pair) -> tuple[bool, int, int, int, str]:
        new, old = pair.arrival.path, pair.path
        count = len(shared[pair.arrival.run, pair.run])
        return pair.same, count, _common_tail(new, old), _common(new, old), old

    former: dict[str, str] = {}
    taken: set[str] = set()
    for pair in sorted(pairs, key=rank, reverse=True):
        if pair.arrival.path not in former and pair.path not in taken and _came_along(pair, shared, shown):
            former[pair.arrival.path] = pair.path
            taken.add(pair.path)
    return former


def _came_along(pair: _Pair, shared: Mapping[tuple[str, str], set[str]], shown: Shown) -> bool:
    if pair.same or pair.arrival.run == pair.run or len(shared[pair.arrival.run, pair.run]) > 1:
        return True
    return {row["fingerprint"] for row in shown.in_run(pair.run)} <= {pair.arrival.fingerprint, ""}


def renamed_folders(former: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs (directory of now, former directory) above renamed files, those of most files first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for path, before in former.items():
        if tail := _common_tail(path, before):
            new, old = (str(Path(*Path(name).parts[:-tail])) for name in (path, before))
            pairs[new, old] += 1
    return [pair for pair, _ in pairs.most_common()]


def _common_tail(path: str, other: str) -> int:
    """Return the number of last components that two paths share."""
    return _common(Path(path).parts[::-1], Path(other).parts[::-1])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of first items that two sequences share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
