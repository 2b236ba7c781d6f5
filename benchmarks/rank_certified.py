"""Claim: the rank of J is certified, by structure where its bounds meet and by random primes where they do not.

Five seeds of each family at init and trained. `met` is how many ranks the proven structural bounds meet; `gap` what
the least bound (inner ranks modulo two primes included) leaves above the rank, relative to it; `certified` how many
ranks end so, at a chance of at most 1 in 1,000 of hiding some; `primes` the most that this took. Below the table:
what float64 says of the same J.

    python -m benchmarks.rank_certified
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.nets import STEPS, digits_problem
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.singular_values import jacobian_values
from scalecurv.statistics.estimate import Status

RESULTS = Path(__file__).parent / "results"
FAMILIES = (
    ((64, 16, 16, 1), 1797),
    ((64, 64, 64, 1), 1797),
    ((64, 32, 10), 200),
    ((64, 30, 30, 30, 10), 200),
    ((64, 64, 64, 10), 200),
)
SEEDS = 5
MEMORY = 4 << 30


def row(widths: tuple[int, ...], num_data: int, when: str, steps: int) -> dict[str, object]:
    """One line of the table."""
    found: list[ExactRank] = []
    svd: list[int] = []
    for seed in range(SEEDS):
        evaluation = Evaluation(digits_problem(widths, num_data, seed, steps))
        exact = exact_rank(evaluation, MEMORY)
        assert exact is not None
        found.append(exact)
        values = jacobian_values(evaluation, MEMORY, "logits")
        roundoff = max(values.shape) * float(np.finfo(np.float64).eps)
        svd.append(int((values.values > roundoff * values.values[0]).sum()))
    ranks = np.array([exact.lower for exact in found])
    gaps = np.array([exact.structural_upper - exact.lower for exact in found]) / ranks
    return {
        "net": "-".join(map(str, widths)),
        "N D": num_data * widths[-1],
        "when": when,
        "rank": f"{ranks.min()}..{ranks.max()}",
        "met": f"{sum(exact.chance == 0 for exact in found)}/{SEEDS}",
        "gap": f"{gaps.mean():.3f} ({gaps.min():.3f}..{gaps.max():.3f})",
        "certified": f"{sum(exact.estimate.status is Status.CERTIFIED for exact in found)}/{SEEDS}",
        "chance": f"{max(exact.chance for exact in found):.1e}",
        "primes": max(exact.num_primes for exact in found),
        "float64 SVD - rank": f"{(np.array(svd) - ranks).min()}..{(np.array(svd) - ranks).max()}",
    }


def main() -> None:
    torch.set_num_threads(2)
    rows = []
    for widths, num_data in FAMILIES:
        for when, steps in (("init", 0), ("trained", STEPS)):
            rows.append(row(widths, num_data, when, steps))
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    text = pd.DataFrame(rows).to_string(index=False) + "\n"
    (RESULTS / "rank_certified.txt").write_text(text)
    print("\n" + text, end="")


if __name__ == "__main__":
    main()
