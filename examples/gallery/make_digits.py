"""Make the store of the tour: the run of `make demo`, analysed on 200 samples, its last checkpoint on all 1,797, too.

python examples/gallery/make_digits.py examples/gallery/digits    # some minutes
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from make_store import without_folder

from scalecurv.store.compact import compact
from scalecurv.store.image import encode
from scalecurv.store.reader import INDEX, read_store

TRAIN = Path(__file__).parents[2] / "jobs" / "train.py"
ONE_THREAD = ("--engine", "serial", "--threads", "1")
ALONG = (
    "--max-samples",
    "200",
    "--measure",
    "gradient,moments,extremes,curvature,rank,rescaling,spectrum,gauss_newton",
)
LAST = ("--measure", "moments,curvature")
REQUESTS = (ALONG, (*LAST, "--from-samples", "200"), (*LAST, "--route", "generic"))


def main(store: Path) -> None:
    """Train, analyse and write one index file into `store`."""
    with tempfile.TemporaryDirectory() as made:
        run, found = Path(made).resolve() / "digits", Path(made).resolve() / "store"
        subprocess.run([sys.executable, TRAIN, run, "--analysis-samples", "1797"], check=True)
        for request in REQUESTS:
            checkpoints = run if request is ALONG else run / "step_2000.pt"
            words = ("-m", "scalecurv", "analyze", checkpoints, found, "--rtol", "0.05", *request, *ONE_THREAD)
            subprocess.run([sys.executable, *map(str, words)], check=True)
        compact(found)
        tables = without_folder(read_store(found).tables, run.parent)
    store.mkdir(parents=True, exist_ok=True)
    (store / INDEX).write_bytes(encode(tables, described=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
