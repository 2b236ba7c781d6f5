"""A model, data and a loss at one point theta: the object that every operator and every measure is given."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from scalecurv.autodiff.backends import Backend
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.display import Described
from scalecurv.errors import Misuse
from scalecurv.problem import readiness
from scalecurv.problem.footprint import Footprint, count_activations
from scalecurv.problem.loss import Criterion, Loss, PerSample, try_loss
from scalecurv.problem.losses import WEIGHTED_SQUARES, loss_of
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.remembered import remembered
from scalecurv.problem.samples import take_samples, tried_shape
from scalecurv.problem.shard import Shard
from scalecurv.problem.user_model import arguments, part_of, quoted, rows_of
from scalecurv.quantities import MEMORY
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import Inputs, described, mapped
from scalecurv.samples.rows import Held, Rows

Reduction = Literal["mean", "sum"]


class Problem(Described):
    """The loss L(theta) = c sum_i loss(f_theta(x_i), y_i) + w |theta|^2 / 2 near the parameters that `model` holds now.

    `data` is (x, y), tensors or arrays with one sample a row. c is 1/N for reduction "mean", 1 for "sum";
    mse is |f - y|^2 / 2 summed over outputs. theta is a copy of the trainable parameters: the model is never
    written to, and later training does not move this point. `dtype` and `device` default to the parameters'.
    w is `weight_decay`, whatever the reduction. `params` is a regular expression: parameters are held fixed unless it
    is found in their name. `batch_size` and `memory` (bytes of temporaries) change the cost of a product, not its
    value. With a `shard`, `data` is still the whole data set and N counts all of it: the problem keeps this rank's
    rows, `x` and `y`, and sums over data are sums over all ranks. `sample` holds the first inputs of the whole data
    set, the same on every rank. Raises Misuse where the data does not fit the model, or the loss is not a function of
    theta alone.

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
        loss: str | Criterion | Loss | PerSample = "cross_entropy",
        *,
        reduction: Reduction | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int | None = None,
        memory: int = MEMORY,
        shard: Shard | None = None,
        weight_decay: float = 0.0,
        params: str | None = None,
    ):
        readiness.check_model(model)
        criterion = loss_of(loss)
        self.model, self.reduction = model, criterion.reduced(reduction)
        readiness.check_options(self.reduction, batch_size, weight_decay, memory, dtype)
        self.weight_decay, self.memory, self._batch_size = weight_decay, memory, batch_size
        self.shard = shard or Shard()
        everything = ParameterSpace.of(model)
        self.space, self.params = everything if params is None else everything.restricted(params), params
        readiness.check_trainable(self.space.size)
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        readiness.check_finite({f"parameter {name!r}": p for name, p in parameters.items()})
        flat = self.space.flatten(parameters)
        self.dtype = dtype or flat.dtype
        self.device = flat.device if device is None else readiness.located(device)
        self.theta = flat.to(self.device, self.dtype, copy=True)
        frozen = {name: p for name, p in parameters.items() if name not in self.space.shapes}
        self._fixed_square = _square(frozen[name] for name in everything.shapes if name in frozen)
        buffers = dict(model.named_buffers())
        readiness.check_buffers(buffers)  # below they are copied: what a forward writes to them stays here
        self._constants = {name: self._cast(t.detach()).clone() for name, t in (frozen | buffers).items()}
        self.output = ""  # the part of what the model returns that is its outputs: "" is all of it
        self.output_shape: tuple[int, ...] = ()
        found = take_samples(data, criterion, self.shard, self._cast, partial(tried_shape, self))
        self.loss: Loss = found.loss
        self.rows: Rows = found.rows
        self.sample, self.sample_targets = found.sample, found.sample_targets
        self.num_data, self.weight, self._most = found.num_data, found.weight, found.most
        if self.loss.factor is None:
            with torch.no_grad():
                try_loss(self.loss, self.outputs(self.theta, self.sample), self.sample_targets)
        self.backend: Backend | None = None  # found by `backend_of`; later copies share it, whatever their dtype
        self.cache: dict[Any, Any] = {}  # what `remembered` functions of this problem returned

    _bare = ("model", "loss", "products")

    @property
    def _facts(self) -> dict[str, str]:
        counts = {"P": self.num_params, "N": self.num_data, "D": self.num_outputs}
        more = {"weight_decay": self.weight_decay or None, "params": self.params}
        return {
            "model": type(self.model).__name__,
            **{name: f"{count:,}" for name, count in counts.items()},
            "loss": f"{self.loss.name} {self.reduction}",
            "products": f"{str(self.dtype).removeprefix('torch.')} on {self.device}",
            **{name: repr(value) for name, value in more.items() if value is not None},
        }

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
    def num_local(self) -> int:
        """The number of samples on this rank: `num_data` where there is one rank."""
        return len(self.rows)

    @property
    def num_outputs(self) -> int:
        """D, the number of scalars that the model puts out for one sample."""
        return math.prod(self.output_shape)

    @property
    def num_params(self) -> int:
        """P, the number of parameters to differentiate by."""
        return self.space.size

    @property
    def scale(self) -> float:
        """c, the factor in front of the sum over samples: one over the samples' total weight for a mean, else 1.

        The weight of a sample is 1 for most losses; see `Loss.weights`.
        """
        return 1 / self.weight if self.reduction == "mean" else 1.0

    @property
    @remembered
    def footprint(self) -> Footprint:
        """The scalars that one sample and one parameter vector keep in memory."""
        activations = count_activations(self.model, lambda x: self.outputs(self.theta, x), self.sample[:1])
        return Footprint(activations, self.num_params, self.dtype.itemsize)

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

    def outputs(self, theta: Tensor, x: Inputs, cast: bool = True) -> Tensor:
        """Return f_theta(x) of shape (B, D), for flat theta (P,), in the problem's dtype unless `cast` is False.

        The model is given a copy of x, which it may write to: one array as its only argument, a tuple as arguments in
        order, a dict as arguments by name. Outputs of a sample of shape `output_shape` are one row of D scalars.
        Raises CheckpointError that quotes the model where it raises, Misuse where it returns no tensor.
        """
        rows = rows_of(part_of(self.returned(theta, x), self.output), len(x))
        return rows.to(self.dtype) if cast else rows

    def returned(self, theta: Tensor, x: Inputs) -> Any:
        """Return whatever the model returns for x, a tensor or a container of some; raise as `outputs` does."""
        given = {**self.space.unflatten(theta), **self._constants}
        with twice_differentiable(), quoted(self.model, f"outputs for x of {described(x)}"):
            return functional_call(self.model, given, *arguments(self.model, x.clone()))

    def unflatten(self, v: Tensor | np.ndarray) -> dict[str, Tensor]:
        """Return a vector (P,) by the names of parameters in their shapes; a block (P, k) keeps k as its last axis.

        Raises Misuse where `v` has other rows than P.
        """
        return self.space.unflatten(torch.as_tensor(v))

    def batches(self) -> Iterator[Batch]:
        """Yield the data in its own order in mini-batches, the last one shorter; raise Misuse where `whole` does."""
        self.shard.refuse("this number")
        yield from self.rows.pieces(self.batch_size)

    def own_batches(self) -> Iterator[Batch]:
        """Yield this rank's mini-batches, for callers that combine the results of all ranks themselves."""
        yield from self.rows.pieces(self.batch_size)

    @property
    def whole(self) -> Batch:
        """All samples; the property raises Misuse where they are spread over ranks, or do not fit into memory."""
        self.shard.refuse("this number")
        return self.rows.whole()

    def astype(self, dtype: torch.dtype) -> "Problem":
        """Return the same problem with its parameters and data cast to `dtype`."""
        if dtype == self.dtype:
            return self
        copy = self._copy(dtype=dtype, theta=self.theta.to(dtype))
        copy._constants = {name: copy._cast(t) for name, t in self._constants.items()}
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
        held = {"_constants": self._constants | fixed, "_fixed_square": self._fixed_square + _square(fixed.values())}
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
