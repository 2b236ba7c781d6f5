"""What of the trace belongs to the function, and what to the scale of its hidden neurons."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from scalecurv.geometry.rescaled import Rescaled, smallest_trace
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.measures.rank.exact import homogeneous_mlp
from scalecurv.mlp.trace import exact_diagonal
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status


def in_and_out(mlp: MLP, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Sums over the weights and the bias into each hidden neuron, and over the weights out of it, (h,) each.

    `parts` holds a number for each parameter, by name: its square, its share of tr H, ... Of the squares of theta the
    difference in - out is each neuron's balancedness, which gradient flow conserves and which one step of gradient
    descent of size eta changes by eta^2 times that of the squares of the gradient, exactly, where activations are
    homogeneous. (Du, Hu and Lee 2018, arXiv 1806.00900)
    """
    coming, going = [], []
    for name, after in pairwise(mlp.layers):
        arriving = parts[f"{name}.weight"].sum(1)
        if f"{name}.bias" in parts:
            arriving = arriving + parts[f"{name}.bias"]
        coming.append(arriving)
        going.append(parts[f"{after}.weight"].sum(0))
    if not coming:
        return torch.zeros(0), torch.zeros(0)
    return torch.cat(coming), torch.cat(going)


EXACT = 1e-9  # of the value: a gap to the proven lower bound that is rounding
NARROW = 0.01


@dataclass(frozen=True)
class Rescaling(Measure):
    """trace_rescaled, the smallest tr H over all rescalings of hidden neurons, none of which changes the function.

    What comes into a neuron times alpha, what goes out of it divided by alpha: loss, fit and rank stay as they are, T
    and K do not (Dinh, Pascanu, Bengio and Bengio 2017, arXiv 1703.04933). Stores the factors, the balancedness |in|^2
    - |out|^2 of each neuron, and by how much a step of gradient descent of size eta changes it, over eta^2. `imbalance`
    is sum | |in|^2 - |out|^2 | / sum (|in|^2 + |out|^2), in 0 .. 1. Takes as many backward passes as there are outputs,
    no more than half of `max_matvecs`. Weight decay w, which rescaling does change, adds w P and nothing else.
    """

    max_matvecs: int = 1000

    name: ClassVar[str] = "rescaling"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = ("trace_rescaled", "imbalance")

    def compute(self, evaluation: Evaluation) -> Findings:
        problem, mlp = evaluation.double.undecayed(), homogeneous_mlp(evaluation.double)
        if mlp is None:
            nothing = Estimate.not_applicable("not an MLP of homogeneous activations")
            return Findings(dict.fromkeys(self.quantities, nothing))
        coming, going = in_and_out(mlp, problem.space.unflatten(problem.theta**2))
        gradient = problem.space.unflatten(loss_and_gradient(problem)[1] ** 2)
        drift = torch.sub(*in_and_out(mlp, gradient))
        total = float((coming + going).sum())
        unequal = float((coming - going).abs().sum()) / total if total else 0.0
        arrays = {"balancedness": _array(coming - going), "balancedness_drift": _array(drift)}
        estimates = {"imbalance": Estimate.exact(unequal, "from the weights")}
        if problem.loss.factor is None or problem.num_outputs > self.max_matvecs // 2:
            reason = f"{problem.num_outputs} backward passes are more than half of max_matvecs"
            reason = reason if problem.loss.factor else "the loss has no known factor"
            return Findings({"trace_rescaled": Estimate.not_applicable(reason), **estimates}, arrays)
        found = rescaled_trace(problem, mlp)
        smallest = _estimate(found).affine(1.0, evaluation.problem.weight_decay * problem.num_params)
        return Findings({"trace_rescaled": smallest, **estimates}, {**arrays, "rescaling_factors": found.factors})


def rescaled_trace(problem: Problem, mlp: MLP) -> Rescaled:
    """The smallest trace over rescalings of this network, with the factors that attain it."""
    diagonal = exact_diagonal(problem, mlp)
    weights = [_array(diagonal[f"{name}.weight"]) for name in mlp.layers]
    none = diagonal[f"{mlp.layers[0]}.weight"].new_zeros
    biases = [_array(diagonal.get(f"{name}.bias", none(len(w)))) for name, w in zip(mlp.layers, weights, strict=True)]
    return smallest_trace(weights, biases)


def _estimate(found: Rescaled) -> Estimate:
    method = f"balanced by {found.sweeps} sweep(s)" + ("" if found.attained else ", an infimum that no factors attain")
    gap = found.value - found.lower
    if not gap > EXACT * abs(found.value):  # or nothing at all, which `exact` calls failed
        return Estimate.exact(found.value, method)
    status = Status.CERTIFIED if gap <= NARROW * found.value else Status.BUDGET
    return Estimate.enclosed(found.value, found.lower, found.value, method, status)


def _array(t: Tensor) -> np.ndarray:
    return t.double().cpu().numpy()
