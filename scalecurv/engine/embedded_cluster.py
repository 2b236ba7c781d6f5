"""The processes of an embedded Ray cluster: ended with this process, at once, however this process ends."""

import os
import signal
import subprocess
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_AUTOSCALER = b"/autoscaler/_private/monitor.py"
# after a SIGKILL of this process Ray's agents, orphans by then, wait 60 s for a server that is gone: end them too
_REAPER = "read _; for p; do case $(cat /proc/$p/comm 2>&-) in ray::*) kill -9 $p 2>&- ;; esac; done"


class EmbeddedCluster:
    """The processes started below this one while the context is open. Without /proc it does nothing."""

    def __enter__(self) -> "EmbeddedCluster":
        self._before = set(family_of(os.getpid()))
        self.reaper: subprocess.Popen[bytes] | None = None
        return self

    def watch(self) -> None:
        """Start a process that ends Ray's agents if this one is killed: it reads a pipe that nobody else holds."""
        names = [str(pid) for pid in self._started()]
        if names:
            words = ["/bin/sh", "-c", _REAPER, "sh", *names]
            self.reaper = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

    def end_autoscaler(self) -> None:
        """Kill the autoscaler, which has no work here and ignores SIGTERM for the second that Ray waits for it."""
        for pid in self._started():
            with suppress(OSError):
                if _AUTOSCALER in (_PROC / str(pid) / "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    def __exit__(self, *exception: object) -> None:
        if self.reaper is not None:
            self.reaper.communicate()  # closes the pipe

    def _started(self) -> list[int]:
        return [pid for pid in family_of(os.getpid()) if pid not in self._before]


def family_of(ancestor: int) -> list[int]:
    """Return the ids of all processes below this one, from /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(entry.parent.name))
    family, fresh = [], children[ancestor]
    while fresh:
        family += fresh
        fresh = [child for pid in fresh for child in children[pid]]
    return family
