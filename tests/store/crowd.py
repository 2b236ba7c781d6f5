"""Processes that write, merge and read one store at once, forked from one that has imported it: see test_crowd."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scalecurv.store.compact import compact, compact_if_many
from scalecurv.store.reader import read_store
from scalecurv.store.writer import write_part
from tests.outcomes import exactly, outcome, record

PRODUCTS = 30  # of every run; all runs of one writer are over one file


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(f"{error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def write(store: Path, journal: Path, name: str, stop: Path, merge: Callable[[], object]) -> None:
    """Commit one key after another, and say each only then."""
    log = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    count = 0
    while not stop.exists():
        key, path = f"{name}.{count}", f"/runs/{name}.pt"
        write_part(store, outcome(path, record(key, exactly(trace=1.0)), created=float(count), total_matvecs=PRODUCTS))
        os.write(log, f"{key}\n".encode())
        count += 1
        merge()


def acknowledged(journal: Path) -> set[str]:
    return set(journal.read_text().split()) if journal.exists() else set()


def complaints(store: Path, before: set[str]) -> list[str]:
    """What is wrong with one look at the store: a key that was said is not there, or anything is there twice."""
    contents = read_store(store)
    keys = contents.tables["estimates"]["key"].tolist()
    products = int(contents.tables["checkpoints"]["total_matvecs"].sum())
    found = [f"missing: {sorted(missing)}"] if (missing := before - contents.stored.keys()) else []
    found += [f"broken: {sorted(contents.broken.values())}"] if contents.broken else []
    found += [f"{len(keys)} rows of {len(set(keys))} keys"] if len(keys) != len(set(keys)) else []
    return found + ([f"{products} products of {len(keys)} runs"] if products != PRODUCTS * len(keys) else [])


def together(store: Path, seconds: float) -> dict[str, object]:
    """Two writers, each merging whenever some parts are loose, and a reader, all at once."""
    stop, journal = store.with_name("stop"), store.with_name("journal")
    compact_if_many.__globals__.update(MANY=2, SHARE=1000)
    pids = [
        forked(lambda name=name: write(store, journal, name, stop, lambda: compact_if_many(store)))
        for name in ("a", "b")
    ]
    found: list[str] = []
    reads, merges, index = 0, 0, 0
    start = time.monotonic()
    before: set[str] = set()
    # on a busy machine for longer, until enough has happened
    while time.monotonic() - start < seconds or min(reads, merges) < 3 or len(before) < 6:
        before = acknowledged(journal)
        found += complaints(store, before)
        reads += 1
        now = (store / "store.h5").stat().st_ino if (store / "store.h5").exists() else 0
        merges, index = merges + (now != index), now
    stop.touch()
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    found += complaints(store, acknowledged(journal))
    keys = read_store(store).stored.keys()
    same = keys == acknowledged(journal)
    return {"found": found, "reads": reads, "merges": merges, "codes": codes, "keys": len(keys), "same": same}


def killed(store: Path, kills: int) -> dict[str, object]:
    """A writer and a merger at a time, both killed at random moments, round after round."""
    stop, journal = store.with_name("stop"), store.with_name("journal")
    rng = random.Random(0)

    def merge() -> None:
        while True:
            compact(store)

    found: list[str] = []
    for i in range(kills // 2):
        before = len(acknowledged(journal))
        pids = [forked(lambda i=i: write(store, journal, f"w{i}", stop, lambda: None)), forked(merge)]
        while len(acknowledged(journal)) == before:
            time.sleep(0.002)
        for pid in rng.sample(pids, 2):
            time.sleep(rng.uniform(0.0, 0.08))
            os.kill(pid, signal.SIGKILL)
            found += [f"{pid} was not there"] if os.waitpid(pid, 0)[1] != signal.SIGKILL else []
        found += complaints(store, acknowledged(journal))
    merged = compact(store)
    found += complaints(store, acknowledged(journal))
    loose = [path.name for path in store.glob("parts/*.h5")]
    return {"found": found, "keys": len(acknowledged(journal)), "merged": merged is not None, "loose": loose}


if __name__ == "__main__":
    act = {"together": together, "killed": killed}[sys.argv[1]]
    print(json.dumps(act(Path(sys.argv[2]), float(sys.argv[3]) if act is together else int(sys.argv[3]))))
