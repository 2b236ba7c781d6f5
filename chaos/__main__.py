"""Nothing that was reported as stored is ever lost, whatever is killed, and no damaged file is taken for a whole one.

Workers, drivers and nodes of real sweeps die by SIGKILL at random times; after each kill every checkpoint that was
reported must be readable, and at the end all numbers must be those of an undisturbed serial run, bit for bit. Damaged
and malicious files are read in a child. The check fails where anything was lost, wrong, unreadable, crashed, hung or
run.

    python -m chaos
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from chaos.audit import COLUMNS, FAULTS, Tally, total
from chaos.drivers import driver_kills
from chaos.files import damaged_files
from chaos.nodes import node_kills
from chaos.processes import end_processes_of
from chaos.scene import COUNT, write_scene
from chaos.workers import worker_kills

RESULTS = Path(__file__).with_name("results.txt")
SHOWN = 50  # faults described in full


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker-kills", type=int, default=120, help="0 leaves this part out")
    parser.add_argument("--driver-kills", type=int, default=60)
    parser.add_argument("--node-kills", type=int, default=20)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--checkpoints", type=int, default=COUNT, help="in the run that is swept")
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills and the damage of the files")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def carry_out(asked: argparse.Namespace, folder: Path) -> list[Tally]:
    """Run the parts one after another, each with its own draws; the files first, while no process has threads."""
    scene = write_scene(folder, asked.checkpoints)
    tallies = damaged_files(scene, asked.files, asked.seed, say) if asked.files else []
    parts = ((worker_kills, asked.worker_kills), (driver_kills, asked.driver_kills), (node_kills, asked.node_kills))
    killed = [
        part(scene, kills, np.random.default_rng([asked.seed, number]), say)
        for number, (part, kills) in enumerate(parts)
        if kills
    ]
    return [*killed, *tallies]


def table(tallies: list[Tally]) -> str:
    rows = [["kind", "kills or files", *COLUMNS[2:]], *(tally.cells() for tally in [*tallies, total(tallies)])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    notes = [
        f"{tally.kind}: {', '.join(f'{count} {verdict}' for verdict, count in sorted(tally.notes.items()))}"
        for tally in tallies
        if tally.notes
    ]
    faults = [detail for tally in tallies for detail in tally.details][:SHOWN]
    legend = "refused: with a reason; the same: read, nothing had changed; silent: other weights, another fingerprint"
    return "\n".join([*lines, *(["", *notes, legend] if notes else []), *(["", *faults] if faults else []), ""])


def main() -> None:
    asked = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up as after Ctrl-C
    folder, began = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp")), time.monotonic()  # short, for Ray's sockets
    try:
        tallies = carry_out(asked, folder)
    finally:
        end_processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)
    text = table(tallies)
    RESULTS.write_text(text.replace(str(folder), "FOLDER"))
    print(text, end="")
    say(f"{time.monotonic() - began:.0f} s")
    if any(total(tallies).counts[name] for name in FAULTS):
        sys.exit("the claim does not hold")


if __name__ == "__main__":
    main()
