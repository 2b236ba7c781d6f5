"""Make the store that the pictures of the gallery are drawn from: two learning rates x two seeds of a small MLP.

Full-batch gradient descent on 30 digits under mse, in float64. The last 20 steps are Gauss-Newton steps, which fit the
data to rounding, so that the chain of bounds applies to the last checkpoints. The Hessian is sampled (`route`), as that
of a larger network would be: the pictures show intervals. No text of the store names a folder of the machine.

    python examples/gallery/make_store.py examples/gallery/store    # about half a minute
"""

import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

import scalecurv as sc
from scalecurv.store.compact import compact
from scalecurv.store.image import encode
from scalecurv.store.reader import INDEX, read_store
from scalecurv.store.schema import TABLES

LEARNING_RATES, SEEDS = (0.1, 0.2), (0, 1)
STEPS = (0, 10, 30, 100, 300, 1000, 3000, 10000)
POLISHED = 20  # Gauss-Newton steps at the end
NUM_SAMPLES, WIDTHS = 30, (64, 12, 12, 10)
SHOWN = "/runs"  # in place of the folder that the runs were made in


def train(folder: Path, x: torch.Tensor, y: torch.Tensor, lr: float, seed: int) -> None:
    """Train by full-batch gradient descent, then by Gauss-Newton steps, and save the weights at STEPS."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(WIDTHS):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            torch.save(model.state_dict(), folder / f"step_{step}.pt")
        if step >= STEPS[-1] - POLISHED:
            gauss_newton_step(model, x, y)
            continue
        optimizer.zero_grad()
        ((model(x) - y) ** 2).sum().div(2 * len(x)).backward()
        optimizer.step()


def gauss_newton_step(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Add the shortest least-squares solution d of J d = y - f to the parameters."""
    parameters = list(model.parameters())
    outputs = model(x).flatten()
    rows = [torch.autograd.grad(output, parameters, retain_graph=True) for output in outputs]
    jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    change = torch.linalg.lstsq(jacobian, (y.flatten() - outputs)[:, None], rcond=1e-6, driver="gelsd").solution[:, 0]
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(parameters) + change, parameters)


def analyse(runs: Path, data: Path, store: Path) -> None:
    """Compute the default measures and the Gauss-Newton matrix, then short Gauss rules of the spectrum."""
    attributes = {"lr": r"lr([0-9.]+)", "seed": r"seed([0-9]+)"}
    measures = (*sc.quantities.DEFAULT, "gauss_newton")
    for names, budget in ((measures, 1000), (("spectrum",), 160)):
        sc.sweep(
            *(runs, store),
            measures=names,
            data=data,
            loss="mse",
            activation="relu",
            run_attr=attributes,
            rtol=0.1,
            route="generic",
            max_matvecs=budget,
            engine="serial",
        )


def without_folder(tables: Mapping[str, pd.DataFrame], folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables with SHOWN in place of `folder`, and without the names of machine and repository."""
    shown = {name: table.copy() for name, table in tables.items()}
    for name, columns in TABLES.items():
        for column in columns:
            if column.kind == "text" and len(shown[name]):
                texts = shown[name][column.name].astype(str).str.replace(str(folder), SHOWN, regex=False)
                hidden = name == "provenance" and column.name in ("host", "git", "config")
                shown[name][column.name] = pd.Categorical([""] * len(texts) if hidden else texts)
    return shown


def main(store: Path) -> None:
    """Train, analyse and write one index file into `store`."""
    digits = load_digits()
    x, y = digits.data[:NUM_SAMPLES] / 16, np.eye(WIDTHS[-1])[digits.target[:NUM_SAMPLES]]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        for lr in LEARNING_RATES:
            for seed in SEEDS:
                train(folder / f"lr{lr}_seed{seed}", torch.from_numpy(x), torch.from_numpy(y), lr, seed)
        np.savez(folder / "data.npz", x=x, y=y)
        analyse(folder, folder / "data.npz", folder / "store")
        compact(folder / "store")
        tables = without_folder(read_store(folder / "store").tables, folder)
    store.mkdir(parents=True, exist_ok=True)
    (store / INDEX).write_bytes(encode(tables, described=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
