"""The check of one file of a store from end to end, in a process that may crash or never return: see `verify`."""

import json
import resource
import sys
from pathlib import Path

from scalecurv.errors import Misuse
from scalecurv.statistics.estimate import Status
from scalecurv.store.decode import BrokenFile, decode
from scalecurv.store.frames import Tables
from scalecurv.store.schema import KEYS, REFERENCES

MEMORY = 16 << 30  # bytes of address space


def problems_of(path: Path) -> list[str]:
    """Return what is wrong with one file, an empty list where every byte, row and reference is as it should be."""
    try:
        tables = decode(path)
        for name in tables:
            tables[name]  # every column is read, and HDF5 checks the checksum of each
    except FileNotFoundError:
        return []  # merged into the index since it was listed
    except (BrokenFile, Misuse) as error:
        return [str(error)]
    found = (*_repeated(tables), *_unresolved(tables), *_unknown(tables), *_unattributed(tables))
    return [f"{path} {problem}" for problem in found]


def _repeated(tables: Tables) -> list[str]:
    counts = {name: int(tables[name].duplicated(key).sum()) for name, key in KEYS.items()}
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


def _unattributed(tables: Tables) -> list[str]:
    runs = [row.run for row in tables["runs"].itertuples() if not _is_object(row.attributes)]
    return [f"has attributes of {len(runs)} run(s) that are no JSON object, such as {runs[0]}"] if runs else []


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def main() -> None:
    """Print a line of JSON once started, then one with the problems of each file, whose path is a line of stdin."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a small file may unpack to more than there is
    print("[]", flush=True)
    for line in sys.stdin:
        print(json.dumps(problems_of(Path(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
