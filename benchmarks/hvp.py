"""Claim: a product with an MLP's Hessian costs at most 1.9 gradients, and 1.15 times its bare matrix products.

ReLU MLPs 784-w-w-10 under cross entropy, float32, k vectors at once. Costs are in gradients a vector: seconds over
those of one plain forward and backward of the same loss on the same data, alternated in one process, medians over
rounds. Least and most stand below the table. A cell that would take more than a minute is left out. The columns:

    closed form       ours: one pass is kept, and each product differentiates both of its directions
    generic           ours for any other model: the graph of the gradient is kept
    PyHessian, curvlinops (a block, and a vector at a time), hessian-eigenthings: see benchmarks/peers.py
    jvp(grad)         torch.func, forward over reverse, mapped over the block
    double backward   torch.autograd, the graph of the gradient kept, a vector at a time
    floor             the bare matrix products: per vector 2 in the first layer and 6 in each other one

    python -m benchmarks.hvp            # at most four minutes on two idle cores; writes results/hvp.txt and hvp.png
    python -m benchmarks.hvp --quick    # seconds: only that it runs
"""

import argparse
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

import scalecurv as sc
from benchmarks.nets import relu_net
from benchmarks.peers import MAKERS, Loss
from scalecurv.operators.hessian import HessianOperator

RESULTS = Path(__file__).parent / "results"
INPUTS, CLASSES = 784, 10
SIZES = {256: 1797, 512: 1000, 1024: 500, 2048: 250, 4096: 128}  # width: samples
ROUNDS = {1: 7, 8: 3, 32: 3}  # vectors at once: rounds
QUICK, QUICK_ROUNDS = {16: 30, 32: 20}, {1: 2, 3: 2}
LONGEST = 60.0  # seconds of a cell
PRODUCT = 2.5  # gradients that a product takes on the average of all columns
Block = Callable[[Tensor], object]


class Opaque(nn.Sequential):
    """The same network in a class of its own, which is not taken for a list of layers."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


def columns_of(loss: Loss) -> dict[str, Block | None]:
    """Return V -> H V, V (P, k), by the names of the columns; None for a peer that is not installed."""
    assert isinstance(loss.model, nn.Sequential)
    generic = Opaque(*loss.model)
    found: dict[str, Block | None] = {
        "closed form": HessianOperator(sc.Problem(loss.model, (loss.x, loss.y))).matmat,
        "generic": HessianOperator(sc.Problem(generic, (loss.x, loss.y))).matmat,
    }
    for name, make in MAKERS.items():
        if name == "skerch":  # it multiplies by the Hessian of curvlinops
            continue
        try:
            found[name] = make(loss).block
        except ImportError:
            found[name] = None
    if (matmat := found["curvlinops"]) is not None:
        found["curvlinops, a vector"] = lambda V, block=matmat: [block(v[:, None]) for v in V.T]
    return {**found, "jvp(grad)": _forward_over_reverse(loss), "double backward": _double_backward(loss)}


def _forward_over_reverse(loss: Loss) -> Block:
    names = {name: p.detach() for name, p in loss.model.named_parameters()}
    sizes = [p.numel() for p in names.values()]

    def value(parts: dict[str, Tensor]) -> Tensor:
        return loss.criterion(functional_call(loss.model, parts, (loss.x,)), loss.y)

    def product(v: Tensor) -> dict[str, Tensor]:
        along = {n: t.view_as(p) for (n, p), t in zip(names.items(), v.split(sizes), strict=True)}
        return jvp(grad(value), (names,), (along,))[1]

    return lambda V: product(V[:, 0]) if V.shape[1] == 1 else vmap(product, in_dims=1)(V)


def _double_backward(loss: Loss) -> Block:
    parameters = list(loss.model.parameters())
    slopes = torch.autograd.grad(loss.criterion(loss.model(loss.x), loss.y), parameters, create_graph=True)
    sizes = [p.numel() for p in parameters]

    def product(v: Tensor) -> tuple[Tensor, ...]:
        along = [t.view_as(p) for p, t in zip(parameters, v.split(sizes), strict=True)]
        return torch.autograd.grad(slopes, parameters, along, retain_graph=True)

    return lambda V: [product(v) for v in V.T]


def floor_of(widths: tuple[int, ...], num_data: int) -> Block:
    """Return V -> nothing that takes the matrix products of a product with H, for as many vectors as V has columns."""
    weights = [torch.randn(n, m) for m, n in pairwise(widths)]
    values = [torch.randn(num_data, n) for n in widths]

    def products(V: Tensor) -> None:
        for _ in range(V.shape[1]):
            for l, W in enumerate(weights):
                for _ in range(1 if l == 0 else 2):
                    _ = values[l] @ W.T, values[l + 1].T @ values[l]
                    if l:
                        _ = values[l + 1] @ W

    return products


def cell(width: int, num_data: int, k: int, rounds: int) -> tuple[dict[str, str], dict[str, str]] | None:
    """Return the medians and the spreads of one line of the table by column; None where it would take too long."""
    widths = (INPUTS, width, width, CLASSES)
    torch.manual_seed(0)
    x, y = torch.randn(num_data, INPUTS), torch.randint(CLASSES, (num_data,))
    loss = Loss(relu_net(widths, 0), x, y, nn.CrossEntropyLoss())
    columns = {**columns_of(loss), "floor": floor_of(widths, num_data)}
    V = torch.randn(k, sum(p.numel() for p in loss.model.parameters())).T
    loss.gradient()
    if _seconds(loss.gradient) * PRODUCT * k * len(columns) * (rounds + 1) > LONGEST:
        return None
    costs: dict[str, list[float]] = {name: [] for name in columns}
    gradients = []
    for done in range(rounds + 1):
        gradients.append(_seconds(loss.gradient))
        for name, block in columns.items():
            if block is not None:
                costs[name].append(_seconds(lambda block=block: block(V)) / k)
        if not done:  # of the first round: what a library does once
            gradients, costs = [], {name: [] for name in columns}
    one = median(gradients)
    line = {"width": str(width), "N": str(num_data), "k": str(k), "gradient, ms": f"{1000 * one:.1f}"}
    middle = {name: f"{median(c) / one:.2f}" if c else "not installed" for name, c in costs.items()}
    middle["closed form / floor"] = f"{median(costs['closed form']) / median(costs['floor']):.2f}"
    spread = {name: f"{min(c) / one:.2f}-{max(c) / one:.2f}" if c else "" for name, c in costs.items()}
    return {**line, **middle}, {**line, **spread}


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def picture_of(table: pd.DataFrame, path: Path) -> None:
    """Draw the costs a vector over the width, one panel for each k."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    blocks = table["k"].unique()
    figure, panels = plt.subplots(1, len(blocks), figsize=(4 * len(blocks), 4), sharey=True, layout="constrained")
    for panel, k in zip(panels, blocks, strict=True):
        rows = table[table["k"] == k].set_index("width").drop(columns=["N", "k", "gradient, ms", "closed form / floor"])
        rows = rows.apply(pd.to_numeric, errors="coerce").dropna(axis=1)
        for name in rows:
            panel.plot(rows.index, rows[name], label=name, marker="o", linestyle=":" if name == "floor" else "-")
        panel.set(title=f"k = {k}", xlabel="width")
    panels[0].set_ylabel("gradients a vector")
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing is written")
    quick = parser.parse_args().quick
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peers' imports, and of backward(create_graph=True)
        for width, num_data in (QUICK if quick else SIZES).items():
            for k, rounds in (QUICK_ROUNDS if quick else ROUNDS).items():
                line = cell(width, num_data, k, rounds)
                print(width, k, "left out" if line is None else line[0], flush=True)
                found += [] if line is None else [line]
    table, spread = (pd.DataFrame(rows) for rows in zip(*found, strict=True))
    head = f"Gradients a vector of a Hessian product, 784-w-w-10, float32, {torch.get_num_threads()} threads, medians"
    text = f"{head}\n{table.to_string(index=False)}\n\nleast and most\n{spread.to_string(index=False)}\n"
    print(text)
    if not quick:
        (RESULTS / "hvp.txt").write_text(text)
        picture_of(table, RESULTS / "hvp.png")


if __name__ == "__main__":
    main()
