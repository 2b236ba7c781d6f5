"""The rank of the Jacobian without a tolerance: exact arithmetic from below, structure from above."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from scalecurv.curvature.cell import cell_factors
from scalecurv.curvature.factors import JacobianFactors
from scalecurv.curvature.layers import OpenBatch, open_batch, structure_of
from scalecurv.curvature.liveness import liveness, num_rescalings, num_touched
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.rank_bounds import Bound, cell_bound, neuron_bound
from scalecurv.errors import Misuse
from scalecurv.estimate import NAN, Estimate, Status
from scalecurv.linalg.primes import LARGEST, random_primes
from scalecurv.linalg.probes import generator
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.modular import combinations_fit, modular_jacobian_rank, rows_that_fit

Output = Literal["logits", "prob"]
PRIMES = 2


@dataclass(frozen=True)
class ExactRank:
    """lower <= rank J <= upper, with the bounds by name and what of them is not proven.

    `num_touched` counts parameters whose column of J is not plainly zero, `num_rescalings` the independent
    rescalings among them; `num_samples` of `num_data` were used from below. `generic` says that weights and biases
    were random residues: almost all parameters with the same slopes.
    """

    lower: int
    bounds: dict[str, Bound]
    primes: tuple[int, ...]
    num_touched: int
    num_rescalings: int
    num_samples: int
    num_data: int

    @property
    def upper(self) -> int:
        return min(bound.value for bound in self.bounds.values())

    @property
    def estimate(self) -> Estimate:
        """`certified` where both ends meet, else `lower_bound`."""
        least = [bound for bound in self.bounds.values() if bound.value == self.upper]
        unproven = min(bound.unproven for bound in least)
        said = ", ".join(f"{name} {bound.value}" for name, bound in self.bounds.items())
        part = f", {self.num_samples} of {self.num_data} samples" if self.num_samples < self.num_data else ""
        return Estimate(
            value=self.lower,
            stderr=NAN,
            lower=self.lower,
            upper=self.upper,
            # an inner rank r is short of the truth modulo every prime with a chance of about (r / p)^2
            confidence=1 - min(1.0, unproven * (self.lower / (LARGEST / 2)) ** PRIMES),
            num_samples=0,
            num_matvecs=0,
            method=f"modulo {len(self.primes)} prime(s){part}; at most {said}",
            status=Status.CERTIFIED if self.lower == self.upper else Status.LOWER_BOUND,
        )


def exact_rank(evaluation: Evaluation, memory: int, output: Output = "logits") -> ExactRank | None:
    """Of an MLP of positively homogeneous activations, else None; remembered. J is that of the float64 slopes."""
    mlp = homogeneous_mlp(evaluation.double)
    if mlp is None:
        return None
    return evaluation.once(
        ("exact rank", memory, output), lambda: _exact_rank(evaluation.double, mlp, evaluation.seed, memory, output)
    )


def homogeneous_mlp(problem: Problem) -> MLP | None:
    """The MLP that this model is, with hidden neurons that can be rescaled, or None."""
    mlp = structure_of(problem)
    return mlp if mlp is not None and mlp.homogeneous else None


def output_seeds(num_outputs: int, output: Output, device: torch.device | str = "cpu") -> Tensor:
    """The combinations of outputs (C, D) that J is of: every output, or for probabilities every one less the last.

    Softmax has the derivative diag(p) - p p', whose kernel is the vector of ones alone: as many directions move the
    probabilities as move the differences of the outputs.
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


def _exact_rank(problem: Problem, mlp: MLP, seed: int, memory: int, output: Output) -> ExactRank:
    seeds = output_seeds(problem.num_outputs, output, problem.device)
    touched = num_touched(problem, mlp)
    opened = _some_samples(problem, mlp, len(seeds), touched, seed, memory)
    complete = len(opened.outputs) == problem.num_data
    alive = liveness(opened)
    primes = random_primes(PRIMES, seed)
    cells = [cell_factors(opened, seeds, primes[0])]
    rescalings = num_rescalings(alive, cells[0].inputs)
    if output == "prob":  # one vector added to the weights of every output moves no difference of outputs
        touched -= int(alive.touched[-1].any(0).sum()) if complete else 0
    bounds = {"rows": Bound(problem.num_data * len(seeds)), "symmetries": Bound(touched - rescalings)}

    def rank(cell: JacobianFactors) -> int:
        return modular_jacobian_rank(cell, min(b.value for b in bounds.values()), memory)

    lower = rank(cells[0])
    if lower < min(bound.value for bound in bounds.values()):
        cells.append(cell_factors(opened, seeds, primes[1]))
        if complete:
            more = {"cells": cell_bound(opened, tuple(cells)), "neurons": neuron_bound(alive, tuple(cells), rescalings)}
            bounds |= {name: bound for name, bound in more.items() if bound.value >= lower or not bound.unproven}
        if lower < min(bound.value for bound in bounds.values()):
            lower = max(lower, rank(cells[1]))
    return ExactRank(
        lower, bounds, primes[: len(cells)], touched, rescalings, len(opened.outputs), problem.num_data
    )


def _some_samples(problem: Problem, mlp: MLP, outputs: int, touched: int, seed: int, memory: int) -> OpenBatch:
    """All samples laid open where they fit: else as many as do, drawn at random."""
    num_data = problem.num_data
    room = memory // 4 // (8 * sum(mlp.widths) * (3 + PRIMES * (outputs + 1)))
    if not combinations_fit(min(touched, problem.num_params), problem.num_params, memory):
        room = min(room, rows_that_fit(memory) // outputs)
    count = max(1, min(num_data, room))
    if count == num_data:
        return open_batch(problem, mlp, Batch(problem.x, problem.y, 0))
    drawn = torch.from_numpy(generator(seed, "rank samples", 0).permutation(num_data)[:count]).to(problem.device)
    return open_batch(problem, mlp, Batch(problem.x[drawn], problem.y[drawn], 0))
