"""Questions asked one by one in a forked child: one that kills the child or never ends costs that question alone."""

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable

LIMIT = 8.0  # seconds for one question
START = 30.0  # seconds for a child to answer its first


def ask_each(ask: Callable[[int], str], count: int, on_answer: Callable[[int, str], None]) -> None:
    """Call `ask(i)` for each i below `count`, in children; an answer is one line, or `crash: REASON`, or `hang`."""
    i = 0
    while i < count:
        pid, pipe = _fork(ask, i, count)
        try:
            answers = _answers(pipe)
            while i < count:
                line, ended = next(answers)
                if line is None:
                    os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0) if line is None or ended else (0, 0)
                on_answer(i, line if line and not ended else "hang" if not ended else f"crash: {_death(status)}")
                i += 1
                if line is None or ended:
                    pid = 0
                    break
        finally:
            os.close(pipe)
            if pid:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


def _fork(ask: Callable[[int], str], begin: int, count: int) -> tuple[int, int]:
    pipe, out = os.pipe()
    pid = os.fork()
    if pid:
        os.close(out)
        return pid, pipe
    code = 1
    try:
        os.close(pipe)
        for i in range(begin, count):
            try:
                answer = ask(i)
            except Exception as error:  # no exception may come out: it is counted, with the place that it came from
                answer = f"crash: {type(error).__name__}: {error} at {traceback.extract_tb(error.__traceback__)[-1]}"
            os.write(out, (" ".join(answer.split()) + "\n").encode(errors="replace"))
        code = 0
        time.sleep(START)  # killed by the parent, once it has heard everything
    finally:
        os._exit(code)


def _answers(pipe: int):  # type: ignore[no-untyped-def]
    """Yield (line, False) for each line, (None, False) when time is up, ("", True) when the child is gone."""
    rest, limit = b"", START
    while True:
        while b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            limit = LIMIT
            yield line.decode(errors="replace"), False
        if not select.select([pipe], [], [], limit)[0]:
            yield None, False
            return
        if not (more := os.read(pipe, 65536)):
            yield "", True
            return
        rest += more


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.waitstatus_to_exitcode(status)}"
