"""Sharpness along training, for three learning rates and two seeds: train, analyse, query, draw, rename.

Gradient descent with learning rate lr is stable while lambda_max lr / 2 <= 1. Training raises lambda_max up to that
edge, about which it hovers then (Cohen et al. 2021). The training loop below knows nothing of scalecurv. It writes
files named weights_it00050.pt into a directory for each run. The analysis puts all runs into one store, with lr and
the seed as columns. One SQL query gives the numbers of a figure as a CSV file, and one command draws it. Then the
directory is renamed and the same analysis runs again: it computes nothing, and no row is left that names a file of
before.

    python examples/learning_rates.py --folder learning_rates    # some minutes
    python examples/learning_rates.py --folder short --short     # some seconds
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import scalecurv as sc

LEARNING_RATES, SEEDS = (0.05, 0.1, 0.2), (0, 1)
QUERY = """
    select lr, run_seed as seed, step, loss, lambda_max, lambda_max_lower, lambda_max_upper, lambda_max * lr / 2 as edge
    from results order by lr, seed, step
"""


def network(width: int) -> torch.nn.Sequential:
    """Return an untrained 64-width-width-10 network."""
    sizes = (64, width, width, 10)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def train(folder: Path, x: torch.Tensor, y: torch.Tensor, lr: float, seed: int, width: int, steps: range) -> None:
    """Train by full-batch gradient descent, and save the weights at these steps."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = network(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(steps.stop):
        if step in steps:
            torch.save(model.state_dict(), folder / f"weights_it{step:05d}.pt")
        optimizer.zero_grad()
        ((model(x) - y) ** 2).sum().div(2 * len(x)).backward()
        optimizer.step()


def analyse(runs: Path, data: Path, store: Path) -> int:
    """Analyse every checkpoint below `runs`; return how many were computed."""
    outcomes = sc.sweep(
        runs,
        store,
        measures=("loss", "lambda_max"),
        data=data,
        loss="mse",
        activation="tanh",
        run_attr={"lr": r"lr([0-9.]+)", "seed": r"seed([0-9]+)"},
    )
    return len(outcomes)


def picture(store: Path, file: Path) -> None:
    """Draw the figure of the study, sharpness against the edge of stability, by one command, which it prints."""
    words = ["plot", store, file, "--quantity", r'lambda_max * lr / 2 as "$\eta \lambda_{\max} / 2$"']
    words += ["--color", "lr", "--style", "run_seed", "--band", "--line", "1=edge of stability"]
    command = [str(word) for word in words]
    print(shlex.join(["scalecurv", *command]), flush=True)
    subprocess.run([sys.executable, "-m", "scalecurv", *command], check=True)


def counts(store: Path) -> tuple[int, int]:
    """Return the number of rows in a store, and of those whose checkpoint is no longer there."""
    paths = sc.open_store(store).results()["checkpoint"]
    return len(paths), sum(not Path(path).exists() for path in paths)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Print how long a stage took."""
    began = time.perf_counter()
    yield
    print(f"{stage}: {time.perf_counter() - began:.1f} s")


def main() -> None:
    """Go through all stages in one folder, and print what came of each."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="a new directory for runs, data, store and CSV")
    parser.add_argument("--short", action="store_true", help="a small network and few steps")
    options = parser.parse_args()
    folder, runs, store = options.folder, options.folder / "runs", options.folder / "store"
    width, steps, num_samples = (4, range(0, 21, 10), 100) if options.short else (32, range(0, 2001, 200), 1000)
    digits = load_digits()
    x, y = (
        (digits.data[:num_samples] / 16).astype(np.float32),
        np.eye(10, dtype=np.float32)[digits.target[:num_samples]],
    )
    with timed("training"):
        for lr in LEARNING_RATES:
            for seed in SEEDS:
                train(runs / f"lr{lr}_seed{seed}", torch.from_numpy(x), torch.from_numpy(y), lr, seed, width, steps)
    np.savez(folder / "data.npz", x=x, y=y)
    with timed("analysis"):
        print(f"{analyse(runs, folder / 'data.npz', store)} checkpoints analysed")
    with timed("query"):
        table = sc.open_store(store).sql(QUERY)
        table.to_csv(folder / "sharpness.csv", index=False)
    print(table.groupby(["lr", "seed"])["edge"].agg(first="first", last="last").round(3).to_string())
    with timed("picture"):
        picture(store, folder / "sharpness.png")
    print("before: {} rows, {} ghosts".format(*counts(store)))
    runs = runs.rename(folder / "runs of spring")
    print("renamed: {} rows, {} ghosts".format(*counts(store)))
    with timed("the same analysis again"):
        print(f"{analyse(runs, folder / 'data.npz', store)} checkpoints analysed")
    print("after: {} rows, {} ghosts".format(*counts(store)))


if __name__ == "__main__":
    main()
