"""The directions in which a hidden neuron is rescaled and no output moves."""

import torch
from torch import Tensor

from scalecurv.linalg.operator import LinearOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP


class RescalingOperator(LinearOperator):
    """V of shape (P, h), a column (+ w_in, + b_in, - w_out) for each hidden neuron, layer by layer: J V = 0, g'V = 0.

    For activations with phi(c z) = c phi(z), c > 0: the weights and bias into a neuron times e^t, those out of it
    times e^-t, leave the function as it is (I7; Neyshabur, Salakhutdinov and Srebro 2015, arXiv 1506.02617). Raises
    ValueError for other activations.
    """

    def __init__(self, problem: Problem, mlp: MLP):
        if not mlp.homogeneous:
            raise ValueError("rescaling a neuron needs homogeneous activations: ReLU, LeakyReLU or none")
        self._problem, self._mlp = problem, mlp
        self._parts = problem.space.unflatten(problem.theta)
        self.shape = (problem.num_params, mlp.num_hidden)
        self.dtype, self.device = problem.dtype, problem.device

    def _matmat(self, V: Tensor) -> Tensor:
        """Weight (s, q) of layer l takes part in the neuron s behind it and in the neuron q in front of it."""
        coefficients = self._by_layer(V)
        moved = dict.fromkeys(self._problem.space.shapes, V.new_zeros(0))
        for l, name in enumerate(self._mlp.layers):
            behind, ahead = coefficients[l + 1], coefficients[l]
            weight = self._parts[f"{name}.weight"]
            moved[f"{name}.weight"] = weight[:, :, None] * (behind[:, None, :] - ahead[None, :, :])
            if f"{name}.bias" in self._parts:
                moved[f"{name}.bias"] = self._parts[f"{name}.bias"][:, None] * behind
        return torch.cat([moved[name].flatten(0, -2) for name in self._problem.space.shapes])

    def _rmatmat(self, U: Tensor) -> Tensor:
        sums = [U.new_zeros(n, U.shape[1]) for n in self._mlp.widths]
        for l, name in enumerate(self._mlp.layers):
            parts = self._problem.space.slices
            weight = self._parts[f"{name}.weight"]
            products = weight[:, :, None] * U[parts[f"{name}.weight"]].view(*weight.shape, -1)
            sums[l + 1] += products.sum(1)
            sums[l] -= products.sum(0)
            if f"{name}.bias" in self._parts:
                sums[l + 1] += self._parts[f"{name}.bias"][:, None] * U[parts[f"{name}.bias"]]
        return torch.cat([U.new_zeros(0, U.shape[1]), *sums[1:-1]])

    def _by_layer(self, V: Tensor) -> list[Tensor]:
        """Coefficients of the neurons of each layer, 0 for inputs and outputs."""
        outside = [V.new_zeros(n, V.shape[1]) for n in (self._mlp.widths[0], self._mlp.widths[-1])]
        return [outside[0], *(V.split(self._mlp.widths[1:-1]) if self._mlp.num_hidden else ()), outside[1]]
