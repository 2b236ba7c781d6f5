"""A minute of two sweeps into one store and one reader: reads that missed what a sweep had reported before they began.

Both sweeps are `scalecurv analyze` processes over runs of their own, started again with another seed whenever they
end, and merge the store by themselves; a third process merges it every second on top. The reader opens the store
again and again, and each time looks for every checkpoint that was reported as stored before it began.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from chaos.scene import write_run
from scalecurv.errors import Misuse
from scalecurv.store.compact import compact
from scalecurv.store.reader import read_store

COUNT = 100  # checkpoints of each run
OPTIONS = ("--engine", "serial", "--threads", "1", "--measure", "gradient")


class Sweeper(threading.Thread):
    """One run analysed over and over, each time with another seed; what it reported, with the seed."""

    def __init__(self, run: Path, store: Path, until: float):
        super().__init__()
        self.run_folder, self.store, self.until = run, store, until
        self.reported: list[tuple[str, int]] = []
        self.sweeps = 0

    def run(self) -> None:
        while time.monotonic() < self.until:
            seed = self.sweeps
            command = [sys.executable, "-m", "scalecurv", "analyze", self.run_folder, self.store, *OPTIONS]
            words = [str(word) for word in (*command, "--seed", seed)]
            process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            assert process.stderr is not None
            for line in process.stderr:
                if " ok " in line:
                    self.reported.append((line.rstrip("\n").split(" ", 2)[2], seed))
            if process.wait() != 0:
                raise SystemExit(f"a sweep exited with {process.returncode}")
            self.sweeps += 1


class Merger(threading.Thread):
    """Merges every second, whoever else does."""

    def __init__(self, store: Path, until: float):
        super().__init__()
        self.store, self.until, self.merges = store, until, 0

    def run(self) -> None:
        while time.monotonic() < self.until:
            with contextlib.suppress(Misuse):  # no store yet
                self.merges += compact(self.store) is not None
            time.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, until = folder / "store", time.monotonic() + asked.seconds
        sweepers = [Sweeper(write_run(folder / run, COUNT), store, until) for run in ("a", "b")]
        merger = Merger(store, until)
        for thread in (*sweepers, merger):
            thread.start()
        reads = missed = broken = 0
        while any(sweeper.is_alive() for sweeper in sweepers):
            wanted = {pair for sweeper in sweepers for pair in list(sweeper.reported)}
            if not wanted:
                time.sleep(0.05)
                continue
            contents = read_store(store)
            rows = contents.tables["checkpoints"]
            missed += len(wanted - set(zip(rows["path"], rows["seed"].tolist(), strict=True)))
            broken += len(contents.broken)
            reads += 1
        for thread in (*sweepers, merger):
            thread.join()
        estimates = read_store(store).tables["estimates"]
        repeated = int(estimates.duplicated(["key", "quantity", "component"]).sum())
    reported = sum(len(sweeper.reported) for sweeper in sweepers)
    sweeps = sum(sweeper.sweeps for sweeper in sweepers)
    text = (
        f"{asked.seconds:g} s: {sweeps} sweeps of {COUNT} checkpoints by two processes, {merger.merges} merges by a "
        f"third beside their own\nreported as stored {reported}, reads {reads}, missed {missed}, broken files seen "
        f"{broken}, rows twice {repeated}\n"
    )
    print(text, end="")
    if asked.seconds >= 60:
        (Path(__file__).parent / "results" / "two_sweeps.txt").write_text(text)
    sys.exit(bool(missed or broken or repeated))


if __name__ == "__main__":
    main()
