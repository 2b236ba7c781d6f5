"""Where the parameters of a digits run go, from init to trained: P = rank + dead + rescaling + data + unexplained.

64-30-30-30-10 under cross entropy, 420 samples, trained and analysed by the product's own commands; `Gaussian` is the
rank at the same weights on as many N(0, I) inputs (after Bona-Pellissier, Malgouyres and Bachoc 2024, arXiv
2402.08269). The check fails where an account does not add up, or the data sees as many directions as Gaussian inputs
do.

    python -m benchmarks.rank_account
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import scalecurv as sc

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
SAMPLES = 420
ENTRIES = "account_dead + account_rescaling + account_data_limited + account_unexplained"
SQL = f"""
select data.step, data.num_params as P, data.rank, data.account_dead as dead, data.account_rescaling as rescaling,
    data.account_data_limited as data_limited, data.account_unexplained as unexplained, data.rank_1e3, data.rank_1e6,
    gaussian.rank as Gaussian, estimates.status, estimates.confidence,
    data.rank + {ENTRIES.replace("account", "data.account")} = data.num_params as adds_up
from results data join results gaussian using (fingerprint)
join estimates on estimates.fingerprint = data.fingerprint and estimates.task_id = data.task_id
where data.account_dead is not null and data.task_id != gaussian.task_id and estimates.quantity = 'rank'
    and data.task_id = (select task_id from tasks where data_path like '%/run/data.npz')
order by data.step
"""


def command(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        run, store, gaussian = (Path(name) / part for part in ("run", "store", "gaussian.npz"))
        size = ("--widths", "64,30,30,30,10", "--analysis-samples", SAMPLES, "--checkpoints", 7)
        command("jobs/train.py", run, *size)
        x = np.random.default_rng(0).standard_normal((SAMPLES, 64)).astype(np.float32)
        np.savez(gaussian, x=x, y=np.zeros(SAMPLES, dtype=np.int64))
        options = ("--measure", "rank", "--engine", "serial")
        command("-m", "scalecurv", "analyze", run, store, *options)
        command("-m", "scalecurv", "analyze", run, store, *options, "--data", gaussian)
        table = sc.open_store(store).sql(SQL)
    text = table.to_string(index=False) + "\n"
    (RESULTS / "rank_account.txt").write_text(text)
    print(text, end="")
    if not (table["adds_up"].all() and (table["rank"] < table["Gaussian"]).all() and len(table)):
        sys.exit(1)


if __name__ == "__main__":
    main()
