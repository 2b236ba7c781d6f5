"""A model, data and a loss at one point theta: the object that every operator and every measure is given."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.autodiff.backends import Backend
from scalecurv.errors import Misuse
from scalecurv.problem import readiness
from scalecurv.problem.forward import Forward
from scalecurv.problem.loss import Criterion, Loss, PerSample, try_loss
from scalecurv.problem.losses import WEIGHTED_SQUARES, loss_of
from scalecurv.problem.own_loss import advising, refuse_shifted
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.samples import take_samples
from scalecurv.problem.shard import Shard
from scalecurv.problem.sizes import Sized
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import Inputs, mapped
from scalecurv.samples.rows import Held, Rows

Reduction = Literal["mean", "sum"]


class Problem(Sized):
    """The loss L(theta) = c sum_i loss(f_theta(x_i), y_i) + w |theta|^2 / 2 near the parameters that `model` holds now.

    `data` is (x, y) with one sample per row; x is one array, or a tuple or dict of the arrays that forward takes. It
    may also be a dict with the targets as y or labels, a Dataset, a list of batches, or a DataLoader that does not
    shuffle. Samples that are read in batches and do not fit into `memory` bytes are read again for each product.

    `loss` is a name, a module of torch.nn, or a function of (f, y); mse is |f - y|^2 / 2 summed over outputs. c is 1
    for reduction "sum"; for "mean" it is one over the total weight of the samples, 1/N for most losses. w is
    `weight_decay`, whatever the reduction.

    theta is a copy of the trainable parameters: the model is never written to, and later training does not move this
    point. `params` is a regular expression: parameters are held fixed unless it is found in their name. `device` and
    `dtype` default to those of the parameters; float32 takes the place of narrower dtypes. `batch_size` and `memory`
    (which bounds temporaries too; by default a quarter of the machine's) change the cost of a product, not its value.

    With a `shard`, `data` is still the whole data set and N counts all of it: the problem keeps this rank's rows, `x`
    and `y`, and sums over data are sums over all ranks. `sample` holds the first inputs of the whole data set, the same
    on every rank. Raises Misuse where the data does not fit the model, or the loss is not a function of theta alone.

    Example:
        >>> import torch
        >>> problem = Problem(torch.nn.Linear(2, 3), (torch.zeros(5, 2), torch.zeros(5, dtype=int)))
        >>> problem.num_data, problem.num_outputs, problem.num_params
        (5, 3, 9)
        >>> problem
        Problem(Linear, P=9, N=5, D=3, cross_entropy mean, float32 on cpu)
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: str | nn.Module | Criterion | Loss | PerSample = "cross_entropy",
        *,
        reduction: Reduction | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int | None = None,
        memory: int | None = None,
        shard: Shard | None = None,
        weight_decay: float = 0.0,
        params: str | None = None,
    ):
        readiness.check_model(model)
        criterion = loss_of(loss)
        self.model, self.reduction = model, criterion.reduced(reduction)
        readiness.check_options(self.reduction, batch_size, weight_decay, memory, dtype)
        self.weight_decay, self._batch_size = weight_decay, batch_size
        self.shard = shard or Shard()
        everything = ParameterSpace.of(model)
        self.space, self.params = everything if params is None else everything.restricted(params), params
        readiness.check_trainable(self.space.size)
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        readiness.check_finite({f"parameter {name!r}": p for name, p in parameters.items()})
        flat = self.space.flatten(parameters)
        self.dtype = dtype or readiness.products_dtype(flat.dtype)
        self.device = flat.device if device is None else readiness.located(device)
        self.memory = readiness.memory_on(self.device) if memory is None else memory
        self.theta = flat.to(self.device, self.dtype, copy=True)
        frozen = {name: p for name, p in parameters.items() if name not in self.space.shapes}
        self._fixed_square = _square(frozen[name] for name in everything.shapes if name in frozen)
        buffers = dict(model.named_buffers())
        readiness.check_buffers(buffers)  # below they are copied: what a forward writes to them stays here
        constants = {name: self._cast(t.detach()).clone() for name, t in (frozen | buffers).items()}
        self.forward = Forward(model, self.space, constants)
        found = take_samples(data, advising(criterion, model), self.shard, self._cast, self._tried, self.memory)
        self.loss: Loss = found.loss
        self.rows: Rows = found.rows
        self.sample, self.sample_targets = found.sample, found.sample_targets
        self.num_data, self.weight, self._most = found.num_data, found.weight, found.most
        with torch.no_grad():
            try_loss(self.loss, self.outputs(self.theta, self.sample), self.sample_targets)
            refuse_shifted(self.forward, self.loss, self.theta, self.sample, self.sample_targets)
        self.backend: Backend | None = None  # found by `backend_of`; later copies share it, whatever their dtype
        self.cache: dict[Any, Any] = {}  # what `remembered` functions of this problem returned

    def _tried(self, sample: Inputs, shape: Any) -> tuple[int, ...]:
        """Return the shape of the outputs for one sample, which `forward` takes over; raise as `Forward.tried`."""
        self.forward = self.forward.tried(self.theta, sample, shape)
        return self.forward.shape

    def _cast(self, tensor: Tensor, floats: bool = False) -> Tensor:
        """Return the tensor on this problem's device, in its dtype unless it holds integers that mean indices."""
        return tensor.to(self.device, self.dtype if floats or tensor.is_floating_point() else tensor.dtype)

    @classmethod
    def quadratic(cls, *eigenvalues: float) -> "Problem":
        """Return the problem of L(theta) = sum_i lambda_i theta_i^2 / 2 at its minimum theta = 0, in float64.

        Its Hessian is diag(lambda_1, ..., lambda_P), so that every number of it is known: try measures on it. Raises
        Misuse where there is no eigenvalue, or one that is not finite.

        Example:
            >>> Problem.quadratic(3.0, -1.0)
            Problem(Linear, P=2, N=2, D=1, weighted_squares sum, float64 on cpu)
        """
        if not eigenvalues or not all(map(math.isfinite, eigenvalues)):
            raise Misuse(f"eigenvalues are {eigenvalues}; give one or more finite numbers")
        model = nn.Linear(len(eigenvalues), 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        x, y = torch.eye(len(eigenvalues), dtype=torch.float64), torch.tensor(eigenvalues, dtype=torch.float64)[:, None]
        return cls(model, (x, y), WEIGHTED_SQUARES, reduction="sum")

    @property
    def x(self) -> Inputs:
        """This rank's inputs (n, ...), all of them; raises Misuse where they do not fit into memory."""
        return self.rows.whole().x

    @property
    def y(self) -> Inputs:
        """This rank's targets (n, ...), all of them; raises Misuse where they do not fit into memory."""
        return self.rows.whole().y

    @property
    def scale(self) -> float:
        """c, the factor in front of the sum over samples: one over the samples' total weight for a mean, else 1.

        The weight of a sample is 1 for most losses; see `Loss.weights`.
        """
        return 1 / self.weight if self.reduction == "mean" else 1.0

    def outputs(self, theta: Tensor, x: Inputs, cast: bool = True) -> Tensor:
        """Return f_theta(x) of shape (B, D), for flat theta (P,), in the problem's dtype unless `cast` is False.

        The model is given a copy of x, which it may write to: one array as its only argument, a tuple as arguments in
        order, a dict as arguments by name. Outputs of a sample of shape `output_shape` are one row of D scalars.
        Raises CheckpointError that quotes the model where it raises, Misuse where it returns no tensor.
        """
        rows = self.forward.outputs(theta, x)
        return rows.to(self.dtype) if cast else rows

    def unflatten(self, v: Tensor | np.ndarray) -> dict[str, Tensor]:
        """Return a vector (P,) by the names of parameters in their shapes; a block (P, k) keeps k as its last axis.

        Raises Misuse where `v` has other rows than P.
        """
        return self.space.unflatten(torch.as_tensor(v))

    def batches(self) -> Iterator[Batch]:
        """Yield the data in its own order in mini-batches, the last one shorter; raise Misuse where it is on ranks."""
        self.shard.refuse("this number")
        yield from self.rows.pieces(self.batch_size)

    def own_batches(self) -> Iterator[Batch]:
        """Yield this rank's mini-batches, for callers that combine the results of all ranks themselves."""
        yield from self.rows.pieces(self.batch_size)

    @property
    def whole(self) -> Batch:
        """All samples at once, for callers that have made sure that they fit; raises Misuse where they are on ranks."""
        self.shard.refuse("this number")
        return self.rows.whole() if isinstance(self.rows, Held) else self.rows.take(torch.arange(self.num_local))

    def astype(self, dtype: torch.dtype) -> "Problem":
        """Return the same problem with its parameters and data cast to `dtype`."""
        if dtype == self.dtype:
            return self
        copy = self._copy(dtype=dtype, theta=self.theta.to(dtype))
        copy.forward = replace(self.forward, constants={n: copy._cast(t) for n, t in self.forward.constants.items()})
        copy.rows = self.rows.mapped(copy._cast, copy._cast)
        copy.sample, copy.sample_targets = (mapped(copy._cast, part) for part in (self.sample, self.sample_targets))
        return copy

    def restricted(self, params: str | None) -> "Problem":
        """Return the same loss as a function only of the parameters in whose names the pattern `params` is found.

        All others are held fixed; None returns the problem itself. Raises Misuse as `ParameterSpace.restricted` does.
        """
        if params is None or params == self.params:
            return self
        space = self.space.restricted(params)
        parts = self.space.unflatten(self.theta)
        fixed = {name: part for name, part in parts.items() if name not in space.shapes}
        forward = replace(self.forward, space=space, constants=self.forward.constants | fixed)
        held = {"forward": forward, "_fixed_square": self._fixed_square + _square(fixed.values())}
        return self._copy(space=space, params=params, theta=space.flatten(parts), **held)

    def undecayed(self) -> "Problem":
        """Return the same problem without its weight decay."""
        return self._copy(weight_decay=0.0) if self.weight_decay else self

    def of_some(self, rows: Tensor) -> "Problem":
        """Return the loss over these samples of this rank alone, without ranks and weight decay."""
        some = self.rows.take(rows)
        weight = float(self.loss.weights(some.y).double().sum()) or 1.0  # 1 where none of them counts
        held = {"rows": Held(some.x, some.y), "num_data": len(rows), "_most": len(rows), "weight": weight}
        return self._copy(**held, shard=Shard(), weight_decay=0.0, _batch_size=None)

    def smaller(self) -> "Problem":
        """Return the same problem with half of a mini-batch, and half of the memory that its products take now."""
        taken = self.footprint.memory(self.batch_size, self.columns)
        half = -(-self.batch_size // 2)
        return self._copy(memory=max(1, min(self.memory, taken) // 2), _batch_size=half, cut=half)

    def penalty(self) -> tuple[float, Tensor]:
        """Return the terms of weight decay: w |theta|^2 / 2 over fixed parameters too, and its gradient, w theta."""
        square = _square([self.theta]) + self._fixed_square
        return self.weight_decay * square / 2, self.weight_decay * self.theta

    def _copy(self, **changes: Any) -> "Problem":
        """Return another problem with these attributes changed and an empty cache."""
        copy = object.__new__(Problem)
        copy.__dict__.update(self.__dict__ | changes | {"cache": {}})
        return copy


def _square(tensors: Iterable[Tensor]) -> float:
    """Return the sum of the squares of all entries, in float64."""
    return sum(float((tensor.double() ** 2).sum()) for tensor in tensors)
