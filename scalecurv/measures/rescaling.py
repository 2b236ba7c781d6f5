"""The smallest trace over all rescalings of hidden neurons, which leave the function as it is, and balancedness."""

import math
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
from scalecurv.mlp.layers import homogeneous_mlp
from scalecurv.mlp.trace import exact_diagonal
from scalecurv.operators.products import loss_and_gradient
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from scalecurv.quantities import MAX_MATVECS
from scalecurv.statistics.estimate import NAN, Estimate, Status

EXACT = 1e-9  # relative gap to the proven lower bound that is rounding
NARROW = 0.01  # relative gap up to which the minimum counts as certified


@dataclass(frozen=True)
class Rescaling(Measure):
    """The smallest trace over all rescalings of hidden neurons, for MLPs of homogeneous activations.

    A rescaling multiplies the weights and the bias into a neuron by alpha > 0, and divides the weights out of it by
    alpha. It leaves the function, and so loss and rank, as they are, and changes tr H and K. (Dinh, Pascanu, Bengio and
    Bengio 2017, arXiv 1703.04933)

    trace_rescaled: the smallest tr H, in units of H. Weight decay w adds w P to it, as to tr H.
    imbalance: sum | |in|^2 - |out|^2 | / sum (|in|^2 + |out|^2) over hidden neurons, in 0 .. 1, where `in` are the
        weights and the bias into a neuron and `out` the weights out of it.

    Arrays, with one number for each hidden neuron: `rescaling_factors`, the alpha of the minimum; `balancedness`,
    |in|^2 - |out|^2; and `balancedness_drift`, its change by a step of gradient descent of size eta, over eta^2.
    trace_rescaled takes one backward pass an output. Its value is NaN where these are more than half of `max_matvecs`.
    """

    max_matvecs: int = MAX_MATVECS

    name: ClassVar[str] = "rescaling"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = ("trace_rescaled", "imbalance")

    def compute(self, evaluation: Evaluation) -> Findings:
        problem, mlp = evaluation.double.undecayed(), homogeneous_mlp(evaluation.double)
        if mlp is None:
            nothing = Estimate.not_applicable("not an MLP of homogeneous activations")
            return Findings(dict.fromkeys(self.quantities, nothing))
        coming, going = in_and_out(mlp, problem.space.unflatten(problem.theta**2))
        drift = torch.sub(*in_and_out(mlp, problem.space.unflatten(loss_and_gradient(problem)[1] ** 2)))
        total = float((coming + going).sum())
        unequal = float((coming - going).abs().sum()) / total if total else 0.0
        arrays = {"balancedness": _array(coming - going), "balancedness_drift": _array(drift)}
        estimates = {"imbalance": Estimate.exact(unequal, "from the weights")}
        if problem.loss.factor is None:
            nothing = Estimate.not_applicable("the loss has no known factor")
            return Findings({"trace_rescaled": nothing, **estimates}, arrays)
        decay = evaluation.problem.weight_decay * problem.num_params
        if problem.num_outputs > self.max_matvecs // 2:
            reason = f"{problem.num_outputs} backward passes are more than half of max_matvecs"
            unknown = Estimate.enclosed(NAN, decay, math.inf, reason, Status.BUDGET)
            return Findings({"trace_rescaled": unknown, **estimates}, arrays)
        found = rescaled_trace(problem, mlp)
        smallest = _estimate(found).affine(1.0, decay)
        return Findings({"trace_rescaled": smallest, **estimates}, {**arrays, "rescaling_factors": found.factors})


def in_and_out(mlp: MLP, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the sums over the weights and the bias into each hidden neuron, and over the weights out of it, (h,) each.

    `parts` holds a tensor for each parameter, by name. For the squares of theta the difference in - out is the
    balancedness of each neuron. Gradient flow conserves it where activations are homogeneous, and a step of gradient
    descent of size eta changes it by exactly eta^2 (in - out), taken of the squares of the gradient. (Du, Hu and Lee
    2018, arXiv 1806.00900)
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


def rescaled_trace(problem: Problem, mlp: MLP) -> Rescaled:
    """Return the smallest trace over rescalings of this network, and the factors that attain it."""
    diagonal = exact_diagonal(problem, mlp)
    weights = [_array(diagonal[f"{name}.weight"]) for name in mlp.layers]
    none = diagonal[f"{mlp.layers[0]}.weight"].new_zeros
    biases = [_array(diagonal.get(f"{name}.bias", none(len(w)))) for name, w in zip(mlp.layers, weights, strict=True)]
    return smallest_trace(weights, biases)


def _estimate(found: Rescaled) -> Estimate:
    """Return the smallest trace as an estimate: exact where its proven lower bound meets it up to rounding."""
    method = f"balanced by {found.sweeps} sweep(s)" + ("" if found.attained else ", an infimum that no factors attain")
    gap = found.value - found.lower
    if not gap > EXACT * abs(found.value):  # not <=, as the gap may be NaN, which `exact` calls failed
        return Estimate.exact(found.value, method)
    status = Status.CERTIFIED if gap <= NARROW * found.value else Status.BUDGET
    return Estimate.enclosed(found.value, found.lower, found.value, method, status)


def _array(t: Tensor) -> np.ndarray:
    return t.double().cpu().numpy()
