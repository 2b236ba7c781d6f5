"""Claim: on a GPU a Hessian product runs near the rate of its matrix products, and the exact rank takes seconds.

    python -m benchmarks.gpu            # a few minutes on one GPU; says so and ends where there is none
    python -m benchmarks.gpu --tiny     # the same program on the CPU with tiny sizes: no figures, only that it runs

Rates count 2 m n k for an (m, n) by (n, k) product, in float32 without TF32, and are medians of a few runs, alternated.
A product with H takes, for each column and each layer of W weights, 6 products of 2 N W: two for the change of the
forward pass and four for that of the backward pass; the first layer, whose inputs do not change, takes two. The rate of
matrix products is measured at N rows and the same width.
"""

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from torch import nn

import scalecurv as sc

RESULTS = Path(__file__).parent / "results"
WIDTHS, COLUMNS, SAMPLES = (1024, 2048, 4096, 8192, 16384), (1, 4, 16, 64), 1000
RANK_WIDTHS, RANK_SAMPLES = (784, 1024, 1024, 10), 2000  # N D = 2e4
REPEATS = 7


def seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Return the seconds of `work` until its last kernel has ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def problem_of(device: torch.device, widths: tuple[int, ...], num_data: int) -> sc.Problem:
    """Return a ReLU MLP as PyTorch draws it, on Gaussian inputs, under cross entropy."""
    torch.manual_seed(0)
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    data = torch.randn(num_data, widths[0]), torch.randint(widths[-1], (num_data,))
    return sc.Problem(nn.Sequential(*layers[:-1]), data, device=device)


def product_rows(device: torch.device, widths: tuple[int, ...], blocks: tuple[int, ...], num_data: int) -> pd.DataFrame:
    """Return the rate of products with H of an MLP 784-w-w-10, and of matrix products of width w, by w and k."""
    return pd.DataFrame([product_row(device, width, k, num_data) for width in widths for k in blocks])


def product_row(device: torch.device, width: int, k: int, num_data: int) -> dict[str, float]:
    problem = problem_of(device, (784, width, width, 10), num_data)
    H, V = sc.hessian(problem), torch.randn(problem.num_params, k, device=device)
    left, right = (torch.randn(n, width, device=device) for n in (num_data, width))

    def product() -> torch.Tensor:
        return H @ V

    def plain() -> torch.Tensor:
        return left @ right

    product(), plain()  # the first calls choose kernels
    ours, theirs = (
        median(times)
        for times in zip(*((seconds(device, product), seconds(device, plain)) for _ in range(REPEATS)), strict=True)
    )
    rate = 2 * num_data * k * (2 * 784 * width + 6 * (width * width + 10 * width)) / ours
    peak = 2 * num_data * width**2 / theirs
    return {
        "width": width,
        "P": problem.num_params,
        "k": k,
        "ms a column": 1e3 * ours / k,
        "Tflop/s": rate / 1e12,
        "matmul Tflop/s": peak / 1e12,
        "share": rate / peak,
    }


def rank_line(device: torch.device, widths: tuple[int, ...], num_data: int) -> str:
    """Return a line about the exact rank: its value, and the seconds that it took."""
    problem = problem_of(device, widths, num_data)
    took = seconds(device, lambda: sc.functional_rank(problem))
    found = sc.functional_rank(problem)  # remembered
    shape = "-".join(map(str, widths))
    return f"rank of {shape}, N D = {num_data * widths[-1]:,}: {found.value:.0f} ({found.status}), {took:.2f} s"


def main(words: list[str]) -> None:
    tiny = "--tiny" in words
    if not tiny and not torch.cuda.is_available():
        print("torch sees no GPU on this machine; run `python -m benchmarks.gpu` where it sees one, or add --tiny")
        return
    device = torch.device("cpu" if tiny else "cuda:0")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    widths, columns, samples = ((8, 16), (1, 2), 20) if tiny else (WIDTHS, COLUMNS, SAMPLES)
    table = product_rows(device, widths, columns, samples)
    line = rank_line(device, (6, 8, 8, 3), 20) if tiny else rank_line(device, RANK_WIDTHS, RANK_SAMPLES)
    name = "cpu" if tiny else torch.cuda.get_device_name(device)
    text = f"{name}, torch {torch.__version__}\n\n{table.to_string(index=False, float_format='%.3g')}\n\n{line}\n"
    print(text)
    if not tiny:
        (RESULTS / "gpu.txt").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
