"""The combinations of a sample's outputs whose Jacobian is taken: all outputs, or those that move their softmax."""

from typing import Literal, get_args

import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP

Output = Literal["logits", "prob"]


def output_seeds(num_outputs: int, output: Output, device: torch.device | str = "cpu") -> Tensor:
    """Return combinations (C, D) of outputs, whole numbers, whose Jacobian has the rank of that of `output`.

    They are the outputs for "logits", and the differences to the last output for "prob": softmax has the derivative
    diag(p) - p p', whose kernel is spanned by the vector of ones. Raises Misuse for any other `output`, and for "prob"
    of a single output.

    Example:
        >>> output_seeds(3, "prob").tolist()
        [[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]
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
    """Return the derivative of `output` in the outputs f (N, D) of each sample.

    It is the identity (D, D) for "logits", and diag(p) - p p', (N, D, D), for "prob".
    """
    if output == "logits":
        return torch.eye(f.shape[1], dtype=f.dtype, device=f.device)
    p = f.softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def functional_ceiling(problem: Problem, mlp: MLP, output: Output) -> int:
    """Return P - h, an upper bound on the rank of J, where h counts hidden neurons.

    For probabilities it is less by the weights and the bias of one output, as many directions move all outputs of a
    sample alike.
    """
    alike = mlp.widths[-2] + (f"{mlp.layers[-1]}.bias" in problem.space.shapes) if output == "prob" else 0
    return mlp.num_params - mlp.num_hidden - alike
