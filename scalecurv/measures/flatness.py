"""Flatness that rescalings of hidden neurons leave as it is: relative flatness, and the adaptive trace."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings, Measure
from scalecurv.mlp.flatness import adaptive_traces, relative_flatness
from scalecurv.mlp.layers import structure_of
from scalecurv.quantities import MAX_MATVECS
from scalecurv.statistics.estimate import NAN, Estimate, Status


@dataclass(frozen=True)
class Flatness(Measure):
    """Flatness of the loss relative to the size of the weights, for MLPs of piecewise-linear activations.

    relative_flatness: sum of kappa_l over the layers, kappa_l = c sum_i |a_(l-1)|^2 |F_i' df/da_(l-1)|_F^2. It is
        unchanged where all neurons of a layer are rescaled by one factor, and not by other rescalings. (Petzka, Kamp,
        Adilova, Sminchisescu and Boley 2021, arXiv 2001.00939)
    relative_flatness_neuron: sum of kappa'_l = c sum_i sum_q a_q^2 |F_i' df/da_q|^2. With homogeneous activations
        (ReLU, LeakyReLU, none) it is unchanged by every rescaling of hidden neurons.
    adaptive_trace: sum_k theta_k^2 H_kk over weights and biases, unchanged by the same rescalings.

    All have the unit of the loss, are exact, and are given for each layer too; larger is sharper. F_i F_i' is the
    second derivative of the loss in the outputs f, and a_(l-1) are the inputs of layer l. Weight decay is left out, as
    no rescaling leaves it as it is. One backward pass an output is taken; where these are more than half of
    `max_matvecs` the values are NaN.

    Example:
        >>> import torch, scalecurv as sc
        >>> net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU(), torch.nn.Linear(1, 1)).double()
        >>> for part, value in zip(net.parameters(), (2.0, 1.0, 3.0, 0.0)):
        ...     _ = part.data.fill_(value)
        >>> data = (torch.tensor([[1.0]]), torch.tensor([[9.0]]))
        >>> for name, estimate in Flatness().compute(sc.Evaluation(sc.Problem(net, data, "mse"))).estimates.items():
        ...     print(name, estimate)  # a_1 = 2 + 1, df/da_1 = 3, df/dx = 6
        relative_flatness 117
        relative_flatness_neuron 117
        adaptive_trace 126
    """

    max_matvecs: int = MAX_MATVECS

    name: ClassVar[str] = "flatness"
    version: ClassVar[int] = 1
    quantities: ClassVar[tuple[str, ...]] = ("relative_flatness", "relative_flatness_neuron", "adaptive_trace")

    def compute(self, evaluation: Evaluation) -> Findings:
        problem, mlp = evaluation.double.undecayed(), structure_of(evaluation.double)
        if mlp is None or problem.loss.factor is None:
            reason = "not an MLP of piecewise-linear activations" if mlp is None else "the loss has no known factor"
            return Findings(dict.fromkeys(self.quantities, Estimate.not_applicable(reason)))
        if problem.num_outputs > self.max_matvecs // 2:
            reason = f"{problem.num_outputs} backward passes are more than half of max_matvecs"
            unknown = Estimate.enclosed(NAN, 0.0, math.inf, reason, Status.BUDGET)
            return Findings(dict.fromkeys(self.quantities, unknown))
        by_layer, by_neuron = relative_flatness(problem, mlp)
        method = f"sum over layers, {problem.num_outputs} backward passes"
        values: dict[str, Tensor] = dict(
            zip(self.quantities, (by_layer, by_neuron, adaptive_traces(problem, mlp)), strict=True)
        )
        parts = {
            (quantity, layer): Estimate.exact(float(value), method)
            for quantity, layers in values.items()
            for layer, value in zip(mlp.layers, layers, strict=True)
        }
        return Findings({name: Estimate.exact(float(v.sum()), method) for name, v in values.items()}, parts=parts)
