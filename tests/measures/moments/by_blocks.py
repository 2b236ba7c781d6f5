"""Passes of fresh probes from the matrices of all blocks, written out once: many seeds in the time of one."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.measures.evaluation import Make, Terms
from scalecurv.measures.moments.fresh import FreshTerms, block_size, cut
from scalecurv.operators.products import hessian_product, residual_product
from scalecurv.problem.problem import Problem
from tests.affine.attending import TOKENS, WIDTH, ViT
from tests.affine.convolving import ResNet, group_norm
from tests.networks import mlp

SAMPLES = 40


@cache
def point(name: str, loss: str = "cross_entropy", steps: int = 0) -> Problem:
    """Return 40 samples in 14 blocks, at a tanh MLP, a ResNet with GroupNorm, or a small ViT, after some steps."""
    makers = {
        "tanh": (lambda: mlp(nn.Tanh, (4, 6, 5, 3)), (4,)),
        "resnet": (lambda: ResNet(group_norm), (1, 5, 5)),
        "vit": (lambda: ViT("gelu", True), (TOKENS, WIDTH)),
    }
    make, shape = makers[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = make().double()
        x = torch.randn(SAMPLES, *shape, dtype=torch.float64)
        classes = torch.arange(SAMPLES) % 3
        y = classes if loss == "cross_entropy" else torch.eye(3, dtype=torch.float64)[classes]
    found = Problem(model, (x, y), loss)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        f = model(x)
        (found.loss.total(f, y) / SAMPLES).backward()
        optimizer.step()
    return Problem(model, (x, y), loss) if steps else found


@cache
def matrices(problem: Problem, residual: bool) -> list[Tensor]:
    """Return the share of each block in H, or in H - G, (P, P) each."""
    P, product = problem.num_params, residual_product if residual else hessian_product
    found: dict[int, Tensor] = {}
    for batch in problem.own_batches():
        for block, piece in cut(batch, block_size(problem.num_data)):
            share = product(problem, piece)(torch.eye(P, dtype=torch.float64))
            found[block] = found.get(block, 0) + share
    return [found[block] for block in sorted(found)]


def fast(
    problem: Problem, make: Make, terms: Terms, seed: int, blocks: Sequence[range]
) -> list[tuple[np.ndarray, int]]:
    """Return the rows of fresh probes, as `run_here` does, from matrices."""
    assert isinstance(terms, FreshTerms)
    layers, done = list(problem.space.layers.values()), []
    for ids in blocks:
        columns = []
        for block, A in enumerate(matrices(problem, terms.residual)):
            Z = terms._probes(problem, seed, block, ids)
            products = Z * (A @ Z)
            columns.append(torch.stack([products[layer].sum(0) for layer in layers], dim=1))
        done.append((torch.stack(columns, dim=1).numpy(), len(ids)))
    return done
