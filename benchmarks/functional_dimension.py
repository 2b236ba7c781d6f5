"""Finding: deeper ReLU networks have hidden symmetries more often, wider ones reach more of their ceiling P - h.

After Grigsby, Lindsey and Rolnick 2023 (arXiv 2306.06179, figure 6): widths n in every layer, depth d affine layers,
one output. Our setting, theirs not being public: weights N(0, 2/fan_in), biases N(0, 0.1^2), 30 P inputs, Gaussian or
heavy-tailed x 10^U(-2, 2). Ranks are those modulo one random prime. `share` is how often the rank is the ceiling,
`mean` the mean of rank / ceiling, each with its standard error over the nets. The check fails where the share does
not fall with depth, or the mean does not rise with width.

    python -m benchmarks.functional_dimension
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from scalecurv.linalg.residues import random_primes
from scalecurv.measures.rank.elimination import cheapest_side
from scalecurv.measures.rank.factors import region_factors
from scalecurv.measures.rank.functional_dimension import gaussian_inputs, heavy_tailed_inputs
from scalecurv.mlp.layers import open_batch, structure_of
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch

RESULTS = Path(__file__).parent / "results"
NETS = {5: 400, 10: 60, 15: 12}  # nets a cell, by width
MEMORY = 2 << 30
DEPTHS = (4, 5, 6)
POINTS = 30  # a parameter
INPUTS = {"Gaussian": gaussian_inputs, "heavy-tailed": heavy_tailed_inputs}


def regression_net(width: int, depth: int, seed: int) -> nn.Sequential:
    """He weights, biases N(0, 0.1^2), float64."""
    sizes = [*[width] * depth, 1]
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        linear = nn.Linear(before, after).double()
        nn.init.normal_(linear.weight, std=(2 / before) ** 0.5)
        nn.init.normal_(linear.bias, std=0.1)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def ranks(width: int, depth: int, inputs: str) -> tuple[np.ndarray, int]:
    """The rank of each net of a cell on its own inputs, and the ceiling."""
    found, ceiling = [], 0
    for seed in range(NETS[width]):
        model = regression_net(width, depth, seed)
        P = sum(p.numel() for p in model.parameters())
        ceiling = P - width * (depth - 1)
        x = INPUTS[inputs](POINTS * P, width, seed)
        problem = Problem(model, (x, x[:, :1]), "mse")
        mlp = structure_of(problem)
        assert mlp is not None
        opened = open_batch(problem, mlp, Batch(x, x, 0))
        factors = region_factors(opened, torch.eye(1, dtype=torch.float64), random_primes(1, seed)[0])
        found.append(cheapest_side(factors.shape, sum(mlp.widths[1:]), ceiling, MEMORY).rank(factors))
    return np.array(found), ceiling


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for inputs in INPUTS:
        for width in NETS:
            for depth in DEPTHS:
                found, ceiling = ranks(width, depth, inputs)
                met, share = found == ceiling, found / ceiling
                line = {"inputs": inputs, "n": width, "d": depth, "nets": len(found), "P - h": ceiling}
                line |= {"mean rank": found.mean(), "sd": found.std(ddof=1), "share": met.mean()}
                line |= {"share se": (met.mean() * (1 - met.mean()) / len(found)) ** 0.5}
                line |= {"mean": share.mean(), "mean se": share.std(ddof=1) / len(found) ** 0.5}
                rows.append(line)
                print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="%.3f"), flush=True)
    table = pd.DataFrame(rows)
    text = table.to_string(index=False, float_format="%.3f") + "\n"
    (RESULTS / "functional_dimension.txt").write_text(text)
    print("\n" + text, end="")
    gaussian = table[table["inputs"] == "Gaussian"]
    falls = all((part.sort_values("d")["share"].diff().dropna() <= 0).all() for _, part in gaussian.groupby("n"))
    rises = all((part.sort_values("n")["mean"].diff().dropna() > 0).all() for _, part in gaussian.groupby("d"))
    print(f"the share falls with depth: {falls}; the mean rises with width: {rises}")
    if not (falls and rises):
        sys.exit(1)


if __name__ == "__main__":
    main()
