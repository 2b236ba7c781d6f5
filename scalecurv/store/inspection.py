"""One file of a store looked at from end to end, in a process that may crash or never return: see `verify`."""

import json
import resource
import sys
from pathlib import Path

from scalecurv.errors import Misuse
from scalecurv.statistics.estimate import Status
from scalecurv.store.frames import Tables
from scalecurv.store.image import BrokenFile, decode

MEMORY = 16 << 30  # bytes of address space
# what tells a row of each table from every other: twice in one file is once too often
IDENTITY = {
    "checkpoints": ["path", "fingerprint", "task_id", "seed", "dtype", "created"],
    "estimates": ["key", "quantity", "component"],
    "arrays": ["key", "name"],
    "tasks": ["task_id"],
    "provenance": ["provenance_id"],
    "files": ["path", "size", "mtime_ns", "inode"],
}
REFERENCES = (
    ("estimates", "fingerprint", "checkpoints"),
    ("estimates", "provenance_id", "provenance"),
    ("estimates", "task_id", "tasks"),
    ("arrays", "fingerprint", "checkpoints"),
)


def problems_of(path: Path) -> list[str]:
    """What is wrong with one file; nothing where every byte, row and reference is as it should be."""
    try:
        tables = decode(path)
        for name in tables:
            tables[name]  # every column is read, and HDF5 checks the checksum of each
    except FileNotFoundError:
        return []  # merged away since it was listed
    except (BrokenFile, Misuse) as error:
        return [str(error)]
    return [f"{path} {problem}" for problem in (*_repeated(tables), *_unresolved(tables), *_unknown(tables))]


def _repeated(tables: Tables) -> list[str]:
    counts = {name: int(tables[name].duplicated(identity).sum()) for name, identity in IDENTITY.items()}
    return [f"holds {count} row(s) of {name} twice" for name, count in counts.items() if count]


def _unresolved(tables: Tables) -> list[str]:
    return [
        f"has {len(missing)} {column}(s) in {table} that {home} does not know"
        for table, column, home in REFERENCES
        if (missing := set(tables[table][column].unique()) - set(tables[home][column].unique()))
    ]


def _unknown(tables: Tables) -> list[str]:
    known = {"estimates": {str(status) for status in Status}, "checkpoints": {"ok", "partial", "failed"}}
    unknown = {name: sorted(set(tables[name]["status"].unique()) - statuses) for name, statuses in known.items()}
    return [f"has {name} of unknown status {', '.join(them)}" for name, them in unknown.items() if them]


def main() -> None:
    """A line of JSON to say that it is there, then one with the problems of each file whose path comes as a line."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a small file may unpack to more than there is
    print("[]", flush=True)
    for line in sys.stdin:
        print(json.dumps(problems_of(Path(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
