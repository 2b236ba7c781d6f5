"""The sizes of a problem: its samples, outputs and parameters, and how many of them fit into memory at once."""

from typing import Any

import torch
from torch import Tensor, nn

from scalecurv.display import Described
from scalecurv.problem.footprint import Footprint, count_activations
from scalecurv.problem.forward import Forward
from scalecurv.problem.loss import Loss
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP, flattens, recognise_mlp
from scalecurv.samples.nested import Inputs
from scalecurv.samples.rows import Rows


class Sized(Described):
    """A problem by its sizes: N samples, D outputs, P parameters, and mini-batches that fit into `memory` bytes."""

    model: nn.Module
    forward: Forward
    space: ParameterSpace
    theta: Tensor
    rows: Rows
    sample: Inputs
    loss: Loss
    reduction: str
    params: str | None
    num_data: int
    weight_decay: float
    dtype: torch.dtype
    device: torch.device
    memory: int
    cache: dict[Any, Any]
    cut: int | None = None  # samples that may be evaluated together since memory ran out, None before it does
    _batch_size: int | None
    _most: int

    _bare = ("model", "loss", "products")

    @property
    def _facts(self) -> dict[str, str]:
        counts = {"P": self.num_params, "N": self.num_data, "D": self.num_outputs}
        more = {"weight_decay": self.weight_decay or None, "params": self.params, "output": self.output or None}
        return {
            "model": type(self.model).__name__,
            **{name: f"{count:,}" for name, count in counts.items()},
            "loss": f"{self.loss.name} {self.reduction}",
            "products": f"{str(self.dtype).removeprefix('torch.')} on {self.device}",
            **{name: repr(value) for name, value in more.items() if value is not None},
        }

    @property
    def num_local(self) -> int:
        """The number of samples on this rank: `num_data` where there is one rank."""
        return len(self.rows)

    @property
    def output(self) -> str:
        """The part of what the model returns that is its outputs, as ".logits" or "[0]"; "" where it is all of it."""
        return self.forward.place

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the outputs for one sample, () for a number."""
        return self.forward.shape

    @property
    def num_outputs(self) -> int:
        """D, the number of scalars that the model puts out for one sample."""
        return self.forward.num_outputs

    @property
    def num_params(self) -> int:
        """P, the number of parameters to differentiate by."""
        return self.space.size

    @property
    @remembered
    def listed(self) -> MLP | None:
        """The MLP that the model is by its list of modules, on rows of numbers, all of it free; None for any other."""
        mlp = recognise_mlp(self.model)
        if mlp is None or mlp.num_params != self.space.size or not isinstance(self.sample, Tensor):
            return None
        return mlp if self.sample.ndim == 2 or flattens(self.model, self.sample.ndim) else None

    @property
    @remembered
    def footprint(self) -> Footprint:
        """The scalars that one sample and one parameter vector keep in memory."""
        activations = count_activations(self.model, lambda x: self.forward.outputs(self.theta, x), self.sample[:1])
        if (mlp := self.listed) is not None:
            return Footprint.closed_form(activations, mlp, self.dtype.itemsize)
        return Footprint.by_graph(activations, self.num_params, self.dtype.itemsize)

    @property
    @remembered
    def batch_size(self) -> int:
        """The number of samples in a mini-batch: the given one, else what fits into `memory`; alike on all ranks."""
        return min(self._batch_size or self.footprint.batch_size(self.memory, self._most), self._most)

    @property
    @remembered
    def columns(self) -> int:
        """The number of vectors of a block that one product takes together."""
        return self.footprint.columns(self.memory, self.batch_size)
