"""Claim: the rank of J is exact and quick at any number of parameters; floating-point Gram matrices get it wrong.

64-w-w-10 ReLU networks at their initialisation on digits (and, past 1,797 of them, digits moved by a pixel). The
first table grows P at N D = 3,000, the second N D at P = 85,002. `seconds` are those of one prime: residues, J J' and
elimination; `gemm` is that time over what the multiplications would take at the speed of this machine's float64
matrix product, measured in the same run. `memory` is the peak of the process. `float64` and `float32` count
eigenvalues of J J' in that precision above N D eps of the largest, up to N D = 6,000. The check fails where the exact
rank is not certified.

    python -m benchmarks.rank_exact
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.nets import relu_net
from scalecurv.linalg.modular_rank import modular_rank
from scalecurv.linalg.residues import random_primes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.rank.factors import factors_of, region_factors
from scalecurv.mlp.layers import open_batch, structure_of
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from tests.digits import digits

RESULTS = Path(__file__).parent / "results"
BY_PARAMETERS = tuple((width, 300) for width in (66, 280, 964, 3126, 9963))
BY_ROWS = tuple((256, samples) for samples in (100, 300, 600, 1000, 2000))
MOST_FLOAT = 6000
MEMORY = 8 << 30


def problem(width: int, samples: int) -> Problem:
    x, y = digits()
    moved = np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64)
    x, y = np.concatenate([x, moved])[:samples], np.concatenate([y, y])[:samples]
    return Problem(relu_net((64, width, width, 10), 0), (x.astype(np.float32), y), memory=MEMORY)


def speed() -> float:
    """Multiplications a second of a float64 matrix product here."""
    A = torch.randn(3000, 3000, dtype=torch.float64)
    A @ A
    began = time.perf_counter()
    A @ A
    return 3000**3 / (time.perf_counter() - began)


def row(width: int, samples: int) -> dict[str, object]:
    """One line, in a process of its own."""
    at = problem(width, samples)
    double = at.astype(torch.float64)
    mlp = structure_of(double)
    assert mlp is not None
    opened, seeds = open_batch(double, mlp, Batch(double.x, double.y, 0)), torch.eye(10, dtype=torch.float64)
    began = time.perf_counter()
    factors = region_factors(opened, seeds, random_primes(1, 0)[0])
    found = modular_rank(factors.gram(), factors.prime or 0)
    seconds = time.perf_counter() - began
    n, widths = factors.shape[0], sum(mlp.widths[1:])
    work = n * n * (widths / 2 + found - found * found / n + found**3 / n / n / 3)
    work += samples * at.num_params * (1 + 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line: dict[str, object] = {"P": at.num_params, "N D": n, "seconds": round(seconds, 2)}
    line |= {"gemm": round(seconds / (work / speed()), 1), "memory GB": round(peak, 1), "modulo p": found}
    del factors
    if n < 20_000:
        exact = exact_rank(Evaluation(at), MEMORY)
        assert exact is not None
        line |= {"rank": str(exact.estimate), "status": str(exact.estimate.status)}
    if n <= MOST_FLOAT and at.num_params < 10**7:
        gram = factors_of(opened, seeds).gram()
        for dtype in (torch.float64, torch.float32):
            values = torch.linalg.eigvalsh(gram.to(dtype))
            line[str(dtype).removeprefix("torch.")] = int((values > n * torch.finfo(dtype).eps * values[-1]).sum())
    return line


def main() -> None:
    if len(sys.argv) == 3:
        torch.set_num_threads(2)
        print(json.dumps(row(int(sys.argv[1]), int(sys.argv[2]))))
        return
    texts = []
    for name, cells in (("P grows", BY_PARAMETERS), ("N D grows", BY_ROWS)):
        lines = []
        for width, samples in cells:
            words = [sys.executable, "-m", "benchmarks.rank_exact", str(width), str(samples)]
            done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1])
            if done.returncode:
                sys.exit(done.stderr)
            lines.append(json.loads(done.stdout))
            print(lines[-1], flush=True)
        table = pd.DataFrame(lines).astype(object).where(lambda frame: frame.notna(), "")
        texts.append(f"{name}\n{table.to_string(index=False)}\n")
        if not all(line.get("status", "certified") == "certified" for line in lines):
            sys.exit("not every rank is certified")
    (RESULTS / "rank_exact.txt").write_text("\n".join(texts))
    print("\n" + "\n".join(texts), end="")


if __name__ == "__main__":
    main()
