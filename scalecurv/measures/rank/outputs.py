"""Which combinations of a sample's outputs a Jacobian is of: all of them, or those that move their softmax."""

from typing import Literal, get_args

import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP

Output = Literal["logits", "prob"]


def output_seeds(num_outputs: int, output: Output, device: torch.device | str = "cpu") -> Tensor:
    """The combinations (C, D) with the rank in question: every output, or for "prob" every one less the last.

    Softmax has the derivative diag(p) - p p', whose kernel is the vector of ones alone: as many directions move the
    probabilities as move the differences of the outputs, and these are whole numbers. Raises Misuse.
    """
    if output not in get_args(Output):
        raise Misuse(f"unknown output {output!r}; choose from {', '.join(get_args(Output))}")
    if output == "logits":
        return torch.eye(num_outputs, dtype=torch.float64, device=device)
    if num_outputs < 2:
        raise Misuse("one output has no probabilities; leave --output out")
    differences = torch.eye(num_outputs - 1, num_outputs, dtype=torch.float64, device=device)
    differences[:, -1] = -1
    return differences


def output_slopes(f: Tensor, output: Output) -> Tensor:
    """d output / d f at each sample, f of shape (N, D): the identity (D, D), or diag(p) - p p' of shape (N, D, D)."""
    if output == "logits":
        return torch.eye(f.shape[1], dtype=f.dtype, device=f.device)
    p = f.softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def functional_ceiling(problem: Problem, mlp: MLP, output: Output) -> int:
    """P - h; for probabilities less one vector of weights and a bias, which move all outputs of a sample alike."""
    alike = mlp.widths[-2] + (f"{mlp.layers[-1]}.bias" in problem.space.shapes) if output == "prob" else 0
    return mlp.num_params - mlp.num_hidden - alike
