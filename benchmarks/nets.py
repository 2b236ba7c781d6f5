"""ReLU MLPs on digits, at their initialisation and trained: what the rank benchmarks look at."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from scalecurv.problem.problem import Problem
from tests.digits import digits

STEPS, RATE = 500, 3e-3  # of Adam, all data at once


def relu_net(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """PyTorch's own initialisation, float32."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [nn.ReLU(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


def digits_problem(widths: tuple[int, ...], num_data: int, seed: int, steps: int = 0) -> Problem:
    """Classes under cross entropy, or with one output their parity under mse, after `steps` of training."""
    pixels, classes = digits(num_data)
    x, y = torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(classes)
    one = widths[-1] == 1
    targets = (y % 2 * 2.0 - 1.0)[:, None].float() if one else y
    model = relu_net(widths, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        f = model(x)
        (functional.mse_loss(f, targets) if one else functional.cross_entropy(f, targets)).backward()
        optimizer.step()
    return Problem(model, (x, targets), "mse" if one else "cross_entropy")
