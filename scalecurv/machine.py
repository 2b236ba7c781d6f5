"""The memory of this machine, and the share of it that a computation takes where nobody says how much."""

import os
import resource
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SHARE = 4  # `memory` bounds bases and, once more, temporaries: two quarters, beside data, weights and other programs
STEP = 1 << 26  # bytes; the default is a multiple, as kernels keep a little of the memory, and not always as much
CGROUPS = Path("/sys/fs/cgroup")


def total_memory() -> int:
    """Return the bytes that this process can have at most: of the machine, its control groups, and `ulimit`."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min(physical, *_group_limits(CGROUPS), *(limit for limit in soft if limit != resource.RLIM_INFINITY))


@cache
def default_memory() -> int:
    """Return the bytes that `memory` is where it is not given: a quarter of `total_memory`, in whole 64 MiB.

    It depends on what the machine has and not on what is free, so that the same request takes the same routes.

    Example:
        >>> default_memory() % STEP, default_memory() <= max(total_memory() // 4, STEP)
        (0, True)
    """
    return max(total_memory() // SHARE // STEP, 1) * STEP


def allowed(memory: int | None) -> int:
    """Return `memory`, or `default_memory()` where it is None."""
    return default_memory() if memory is None else memory


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups of this process, of version 1 and 2, those of their parents included."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = base / place.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base) and (text := _text(folder / name).strip()).isdecimal():
                yield int(text)


def _text(path: Path) -> str:
    """Return the text of a file of the kernel, "" where this system has none."""
    try:
        return path.read_text()
    except OSError:
        return ""
