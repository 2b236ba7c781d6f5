"""A model, data and a loss at one point theta: the one thing that every product is taken of."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scalecurv.autodiff.backends import Backend
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.errors import Misuse
from scalecurv.problem.footprint import Footprint, count_activations
from scalecurv.problem.loss import Loss, PerSample, try_loss
from scalecurv.problem.losses import loss_of
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.readiness import check_buffers, check_finite, check_model
from scalecurv.problem.samples import take, width_of
from scalecurv.problem.shard import Shard
from scalecurv.problem.user_model import quoted

Reduction = Literal["mean", "sum"]
MEMORY = 2 << 30  # bytes that the temporaries of one product may take


@dataclass(frozen=True)
class Batch:
    """Consecutive samples: inputs x (B, ...), targets y, and the index of the first."""

    x: Tensor
    y: Tensor
    start: int

    def pieces(self, size: int) -> "Iterator[Batch]":
        """The batch in runs of at most `size` samples."""
        for i in range(0, len(self.x), size):
            yield Batch(self.x[i : i + size], self.y[i : i + size], self.start + i)


class Problem:
    """The loss L(theta) = c sum_i loss(f_theta(x_i), y_i) + w |theta|^2 / 2 near the parameters that `model` holds now.

    `data` is (x, y), tensors or arrays with one sample a row. c is 1/N for reduction "mean", 1 for "sum";
    mse is |f - y|^2 / 2 summed over outputs. theta is a copy of the trainable parameters: the model is never
    written to, and later training does not move this point. `dtype` and `device` default to the parameters'.
    w is `weight_decay`, whatever the reduction. `params`, a regular expression, holds all parameters fixed but those
    in whose name it is found.
    `batch_size` and `memory` (bytes of temporaries) change the cost of a product, not its value.
    With a `shard`, `data` is still all of it and N counts all of it: the problem keeps this rank's rows, `x` and `y`,
    and sums over data are sums over all ranks. `few` are the first samples of all, on every rank.
    Raises Misuse where the data does not fit the model, or the loss is not a function of theta alone.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: str | Loss | PerSample = "cross_entropy",
        *,
        reduction: Reduction = "mean",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int | None = None,
        memory: int = MEMORY,
        shard: Shard | None = None,
        weight_decay: float = 0.0,
        params: str | None = None,
    ):
        check_model(model)
        self.model = model
        self.loss = loss_of(loss)
        if reduction not in ("mean", "sum"):
            raise Misuse(f"unknown reduction {reduction!r}; choose mean or sum")
        if batch_size is not None and batch_size < 1:
            raise Misuse(f"batch_size={batch_size}: give at least one sample a batch")
        if not 0 <= weight_decay < math.inf:
            raise Misuse(f"weight_decay is {weight_decay}; it must be at least 0 and finite")
        self.reduction: Reduction = reduction
        self.weight_decay = weight_decay
        self.memory = memory
        self.shard = shard or Shard()
        everything = ParameterSpace.of(model)
        self.space, self.params = everything if params is None else everything.restricted(params), params
        if self.space.size == 0:
            raise Misuse("the model has no trainable parameter; set requires_grad on those to differentiate by")
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        check_finite({f"parameter {name!r}": p for name, p in parameters.items()})
        flat = self.space.flatten(parameters)
        self.dtype = dtype or flat.dtype
        self.device = torch.device(device) if device is not None else flat.device
        self.theta = flat.to(self.device, self.dtype, copy=True)
        frozen = {name: p for name, p in parameters.items() if name not in self.space.shapes}
        self._fixed_square = _square(frozen[name] for name in everything.shapes if name in frozen)
        check_buffers(dict(model.named_buffers()))
        fixed = frozen | dict(model.named_buffers())  # copies: what a forward writes to them stays here
        self._constants = {name: self._cast(t.detach()).clone() for name, t in fixed.items()}
        samples = take(data, self.loss, self.shard, self._cast, partial(width_of, self.outputs, self.theta))
        self.x, self.y, (self.few, self.few_targets) = samples.x, samples.y, samples.few
        self.num_data, self.num_outputs, self._most = samples.num_data, samples.num_outputs, samples.most
        if self.loss.factor is None:
            with torch.no_grad():
                try_loss(self.loss, self.outputs(self.theta, self.few), self.few_targets)
        self._batch_size = batch_size
        self.backend: Backend | None = None  # of derivatives; found by `backend_of`, the same at every dtype
        self.cache: dict[Any, Any] = {}  # see `remembered`: it dies with the point

    def _cast(self, tensor: Tensor, floats: bool = False) -> Tensor:
        """To this problem's device, and to its dtype unless the tensor holds integers that mean indices."""
        return tensor.to(self.device, self.dtype if floats or tensor.is_floating_point() else tensor.dtype)

    @property
    def num_local(self) -> int:
        """Samples on this rank: all `num_data` of them where there is one."""
        return len(self.x)

    @property
    def num_params(self) -> int:
        return self.space.size

    @property
    def scale(self) -> float:
        """c, the factor in front of the sum over samples."""
        return 1 / self.num_data if self.reduction == "mean" else 1.0

    @cached_property
    def footprint(self) -> Footprint:
        activations = count_activations(self.model, lambda x: self.outputs(self.theta, x), self.few[:1])
        return Footprint(activations, self.num_params, self.dtype.itemsize)

    @cached_property
    def batch_size(self) -> int:
        """Samples in a mini-batch: as asked for, else as many as the memory allows; the same on all ranks."""
        return min(self._batch_size or self.footprint.batch_size(self.memory, self._most), self._most)

    @cached_property
    def columns(self) -> int:
        """Vectors of a block that one product takes together."""
        return self.footprint.columns(self.memory, self.batch_size)

    def outputs(self, theta: Tensor, x: Tensor, cast: bool = True) -> Tensor:
        """f_theta(x) of shape (B, D), for flat theta (P,), in the problem's dtype unless `cast` is False.

        The model is handed a copy of x, which it may write to.

        Raises CheckpointError that quotes the model where it raises, Misuse where it returns no tensor.
        """
        given = {**self.space.unflatten(theta), **self._constants}
        with twice_differentiable(), quoted(self.model, f"outputs for x of shape {tuple(x.shape)}, {x.dtype}"):
            f = functional_call(self.model, given, (x.clone(),))
        if not isinstance(f, Tensor) or not f.is_floating_point():
            kind = f.dtype if isinstance(f, Tensor) else type(f).__name__
            raise Misuse(f"the model returns a {kind}; wrap it so that it returns one tensor of floats, (N, D)")
        f = f if f.layout == torch.strided else f.to_dense()
        f = f.to(self.dtype) if cast else f
        if len(x) == 1 or f.ndim == 0:  # whatever shape is left, it is that sample's: .squeeze() takes rows away too
            return f.reshape(1, -1)
        return f[:, None] if f.ndim == 1 else f.flatten(1)

    def batches(self) -> Iterator[Batch]:
        """The data in its own order, the last mini-batch as short as it comes; raises Misuse as `whole` does."""
        yield from self.whole.pieces(self.batch_size)

    def own_batches(self) -> Iterator[Batch]:
        """The part of it that is on this rank, for those who put together what the ranks find."""
        yield from Batch(self.x, self.y, self.shard.rows(self.num_data).start).pieces(self.batch_size)

    @property
    def whole(self) -> Batch:
        """All samples; raises Misuse where they are spread over ranks."""
        self.shard.refuse("this number")
        return Batch(self.x, self.y, 0)

    def astype(self, dtype: torch.dtype) -> "Problem":
        """The same problem, its parameters and data cast to `dtype`."""
        if dtype == self.dtype:
            return self
        twin = self._twin()
        twin.dtype = dtype
        twin.theta = self.theta.to(dtype)
        twin._constants = {name: twin._cast(t) for name, t in self._constants.items()}
        twin.x, twin.y, twin.few, twin.few_targets = map(twin._cast, (self.x, self.y, self.few, self.few_targets))
        return twin

    def restricted(self, params: str | None) -> "Problem":
        """The same loss as a function of those parameters alone in whose name the pattern `params` is found.

        All others are held fixed; None holds none. Raises Misuse where the pattern is none, or fits no parameter.
        """
        if params is None or params == self.params:
            return self
        space = self.space.restricted(params)
        parts = self.space.unflatten(self.theta)
        fixed = {name: part for name, part in parts.items() if name not in space.shapes}
        twin = self._twin()
        twin.space, twin.params = space, params
        twin.theta = space.flatten(parts)
        twin._constants = {**self._constants, **fixed}
        twin._fixed_square = self._fixed_square + _square(fixed.values())
        return twin

    def undecayed(self) -> "Problem":
        """The same problem without its weight decay."""
        if not self.weight_decay:
            return self
        twin = self._twin()
        twin.weight_decay = 0.0
        return twin

    def of_some(self, rows: Tensor) -> "Problem":
        """The loss over these samples of this rank alone, without ranks and weight decay."""
        twin = self._twin()
        twin.x, twin.y, twin.num_data, twin._most = self.x[rows], self.y[rows], len(rows), len(rows)
        twin.shard, twin.weight_decay, twin._batch_size = Shard(), 0.0, None
        return twin

    def penalty(self) -> tuple[float, Tensor]:
        """What weight decay adds to L, w |theta|^2 / 2 over parameters held fixed too, and to its gradient, w theta."""
        square = _square([self.theta]) + self._fixed_square
        return self.weight_decay * square / 2, self.weight_decay * self.theta

    def _twin(self) -> "Problem":
        """Another problem of the same parts, to be changed; what was computed at this one stays with it."""
        twin = object.__new__(Problem)
        twin.__dict__.update(
            {k: v for k, v in self.__dict__.items() if k not in ("footprint", "batch_size", "columns")}
        )
        twin.cache = {}
        return twin


def _square(tensors: Iterable[Tensor]) -> float:
    """|theta|^2 of parameters in float64: of those that decay and are held fixed, too."""
    return sum(float((tensor.double() ** 2).sum()) for tensor in tensors)
