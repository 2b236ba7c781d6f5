"""Train a small network on scikit-learn's digits with SGD; save checkpoints, data and problem.json.

python jobs/train.py runs/digits --widths 64,32,32,10 --steps 2000
python jobs/train.py runs/cnn --model cnn
"""

import importlib
import json
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
NETWORKS = ("cnn", "transformer")  # of models.py, beside this script


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all 1,797 images in a fixed random order, pixels scaled to 0..1: x (N, 64) float32, y (N,) classes."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    return (bunch.data[order] / 16).astype(np.float32), bunch.target[order].astype(np.int64)


def saving_steps(steps: int, count: int) -> list[int]:
    """Return about `count` steps from 0 to the last, dense at the start, where curvature changes fastest."""
    spaced = np.geomspace(steps, 1, max(count - 1, 1)).round().astype(int)
    return sorted({0, *(int(step) for step in spaced)})


def mlp(sizes: list[int], activation: str) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", type=click.Choice(["mlp", *NETWORKS]), default="mlp", show_default=True)
@click.option("--widths", default="64,32,32,10", show_default=True, help="Widths of an MLP's layers, input to output.")
@click.option(
    "--activation", type=click.Choice(list(ACTIVATIONS)), default="relu", show_default=True, help="Of an MLP."
)
@click.option("--loss", type=click.Choice(["cross_entropy", "mse"]), default="cross_entropy", show_default=True)
@click.option("--lr", default=0.1, show_default=True)
@click.option("--batch", default=64, show_default=True, help="Samples a step.")
@click.option("--steps", default=2000, show_default=True)
@click.option("--checkpoints", default=12, show_default=True, help="About how many to save.")
@click.option("--samples", default=1797, show_default=True, help="Training samples.")
@click.option("--analysis-samples", default=200, show_default=True, help="How many of these to write for analysis.")
@click.option("--seed", default=0, show_default=True)
def main(
    folder: Path,
    model: str,
    widths: str,
    activation: str,
    loss: str,
    lr: float,
    batch: int,
    steps: int,
    checkpoints: int,
    samples: int,
    analysis_samples: int,
    seed: int,
) -> None:
    """Train into FOLDER: step_<n>.pt, data.npz and problem.json, ready for `scalecurv analyze FOLDER STORE`."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    x, y = torch.from_numpy(images[:samples]), torch.from_numpy(labels[:samples])
    np.savez(folder / "data.npz", x=images[:analysis_samples], y=labels[:analysis_samples])
    kind = {"activation": activation} if model == "mlp" else {"model": f"models:{model}"}
    problem = {"data": "data.npz", "loss": loss, "reduction": "mean", **kind}
    (folder / "problem.json").write_text(json.dumps(problem, indent=2) + "\n")

    torch.manual_seed(seed)
    sizes = [int(width) for width in widths.split(",")]
    network = mlp(sizes, activation) if model == "mlp" else getattr(importlib.import_module("models"), model)()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    shuffle = torch.Generator().manual_seed(seed)
    save_at = set(saving_steps(steps, checkpoints))
    for step in range(steps + 1):
        if step in save_at:
            torch.save({"model": network.state_dict(), "step": step}, folder / f"step_{step}.pt")
        rows = torch.randint(len(x), (batch,), generator=shuffle)
        outputs = network(x[rows])
        if loss == "mse":
            targets = functional.one_hot(y[rows], outputs.shape[1]).float()
            value = functional.mse_loss(outputs, targets, reduction="sum") / (2 * len(rows))
        else:
            value = functional.cross_entropy(outputs, y[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        accuracy = float((network(x).argmax(1) == y).float().mean())
    click.echo(f"{len(save_at)} checkpoints in {folder}, training accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
