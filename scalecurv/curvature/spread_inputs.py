"""Inputs that show more of a network than its data does: Gaussian, heavy-tailed, and close to every fold."""

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import generator

SAME_FOLD = 1e-9  # folds closer than this, relative to where they are, are one and the same, rounded


def gaussian_inputs(count: int, width: int, seed: int) -> Tensor:
    """x ~ N(0, I), shape (count, width), float64."""
    return torch.from_numpy(generator(seed, "gaussian inputs", 0).standard_normal((count, width)))


def heavy_tailed_inputs(count: int, width: int, seed: int) -> Tensor:
    """x 10^u with x ~ N(0, I) and u uniform in -2..2: points near the folds of small biases and far beyond all."""
    rng = generator(seed, "heavy-tailed inputs", 0)
    return torch.from_numpy(rng.standard_normal((count, width)) * 10 ** rng.uniform(-2, 2, (count, 1)))


def decisive_inputs(weight: Tensor, bias: Tensor | None, seed: int) -> Tensor:
    """d + 1 points on either side of the fold w'x + b = 0 of every neuron of a first layer, in no other fold's way.

    With them the rank of a network of one hidden layer is P - h (M1): the jump of f across each fold and the
    gradient's show. `weight` (h, d), `bias` (h,); the points lie within half the distance to the nearest other fold.
    """
    W = weight.double().cpu().numpy()
    b = np.zeros(len(W)) if bias is None else bias.double().cpu().numpy()
    rng = generator(seed, "decisive inputs", 0)
    sizes = np.linalg.norm(W, axis=1)
    width, points = W.shape[1], [np.empty((0, W.shape[1]))]
    for j in np.flatnonzero(sizes):
        normal = W[j] / sizes[j]
        x = rng.standard_normal(width)
        x -= normal * (W[j] @ x + b[j]) / sizes[j]
        others = np.flatnonzero(sizes)[np.flatnonzero(sizes) != j]
        distances = np.abs(W[others] @ x + b[others]) / sizes[others]
        apart = distances > SAME_FOLD * (1 + np.linalg.norm(x))
        room = 0.5 * min([1.0, *distances[apart]])
        for side in (1, -1):
            steps = rng.standard_normal((width + 1, width))
            steps *= 0.4 / np.linalg.norm(steps, axis=1, keepdims=True)
            steps[-1] = 0
            points.append(x + room * (0.5 * side * normal + steps))
    return torch.from_numpy(np.concatenate(points))
