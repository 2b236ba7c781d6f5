"""The number of CPU threads of the for loop: as asked, or the faster of one and all for the product at hand."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

LONGEST = 0.5  # seconds after which no further round of products is taken
ROUNDS = 5
CLEAR = 2.0  # a ratio of times that a second round has confirmed needs no third
GAIN = 1.1  # all threads must be faster by so much, else one thread does the work


@dataclass(frozen=True)
class Threads:
    """A number of CPU threads, and the reason for it, which the provenance of a row records."""

    count: int
    reason: str


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put the threads and the TF32 switches of torch back at the end: a notebook has its own work to do after a sweep.

    The number of threads is that of the whole process.
    """
    threads = torch.get_num_threads()
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions


def fixed_threads(asked: int | None, shared: bool) -> Threads | None:
    """Return the threads that were asked for, by --threads or OMP_NUM_THREADS; None where nothing says how many.

    Where Ray may take over (`shared`) they are those of its workers, so that all rows come from one arithmetic.
    """
    if asked:
        return Threads(asked, "--threads")
    if shared:
        return Threads(1, "as a Ray worker has")
    number = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is for nested regions
    return Threads(int(number), "OMP_NUM_THREADS") if number.isdecimal() and int(number) else None


def faster_threads(work: Callable[[], object], most: int, clock: Callable[[], float] = time.perf_counter) -> Threads:
    """Return one thread or `most`, whichever does `work` sooner; rounds of both end once the answer is clear.

    On a busy machine several threads wait for a core that another program has, and may be ten times slower than one.
    Rounds begin with one thread; the first round warms up, and counts only where it takes so long that it is the last.
    """
    sums = {1: 0.0, most: 0.0}
    spent = 0.0
    for number in range(ROUNDS):
        took = {count: _seconds(work, count, clock) for count in sums}
        spent += sum(took.values())
        if number or spent > LONGEST:
            sums = {count: sums[count] + took[count] for count in sums}
        ratio = sums[1] / sums[most] if sums[most] else 1.0
        if spent > LONGEST or (number > 1 and not 1 / CLEAR < ratio < CLEAR):
            break
    best = most if ratio > GAIN else 1
    torch.set_num_threads(best)
    return Threads(best, f"measured: a product takes {sums[1]:.2g} s on 1 thread, {sums[most]:.2g} s on {most}")


def _seconds(work: Callable[[], object], threads: int, clock: Callable[[], float]) -> float:
    torch.set_num_threads(threads)
    began = clock()
    work()
    return clock() - began
